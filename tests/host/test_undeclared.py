"""The report has a line for each undeclared file, with a command that removes or repairs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.undeclared import (
    BY_HAND,
    CHMOD,
    CHOWN,
    CHOWN_AND_CHMOD,
    EXTRACT,
    EXTRACT_OVER_FOLDER,
    FROM_UCF,
    FROM_UCF_OVER_FOLDER,
    REMOVE,
    UNACCEPT,
    UNKNOWN,
)
from portcullis.host.undeclared import remedy
from tests.cli.report.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "/etc/nginx/conf.d/evil.conf"
CACHED = "/var/lib/ucf/cache/:etc:nginx:conf.d:evil.conf"
RELOAD = "systemctl reload x"
_DEB = "dpkg-deb --fsys-tarfile nginx-common_*.deb"
BACK = f'cd "$(mktemp -d)" && apt-get download nginx-common && {_DEB} | tar -xC / .{PATH} && {RELOAD}'
# The fix that the host tells, and the remedy.
FIXES: Mapping[tuple[str, ...], str] = {
    (REMOVE,): f"remove it yourself: rm {PATH} && {RELOAD}",
    (EXTRACT, "nginx-common"): f"restore it yourself: {BACK}",
    (EXTRACT_OVER_FOLDER, "nginx-common"): f"restore it yourself: rm -r {PATH} && {BACK}",
    (FROM_UCF,): f"restore it yourself: cp --remove-destination {CACHED} {PATH} && {RELOAD}",
    (FROM_UCF_OVER_FOLDER,): (
        f"restore it yourself: rm -r {PATH} && cp --remove-destination {CACHED} {PATH} && {RELOAD}"
    ),
    (CHMOD, "0755"): f"repair it yourself: chmod 0755 {PATH} && {RELOAD}",
    (CHOWN,): f"repair it yourself: chown root:root {PATH} && {RELOAD}",
    (CHOWN_AND_CHMOD, "0644"): (
        f"repair it yourself: chown root:root {PATH} && chmod 0644 {PATH} && {RELOAD}"
    ),
    (UNACCEPT,): "remove it from the settings",
    (BY_HAND,): "other users can write to a folder above it, so no command is safe",
}


@pytest.mark.parametrize("fix", FIXES)
def test_an_undeclared_file_stays_and_has_a_remedy(fix: tuple[str, ...]) -> None:
    assert remedy(PATH, fix, RELOAD) == f"stays; {FIXES[fix]}"


@pytest.mark.parametrize(
    "fix", [(), ("",), ("reboot",), (REMOVE, "/etc"), (EXTRACT,), (EXTRACT, "-x"), (CHMOD, "--reference=/x")]
)
def test_an_unknown_fix_has_no_command(fix: tuple[str, ...]) -> None:
    assert remedy(PATH, fix, RELOAD) == "stays"


def test_a_path_that_is_not_absolute_has_no_command() -> None:
    assert remedy("--no-preserve-root", (REMOVE,), RELOAD) == "stays"


def test_operands_of_the_host_cannot_become_a_command() -> None:
    said = remedy("/etc/nginx/$(reboot)", (EXTRACT, "x;reboot"), RELOAD)
    assert "apt-get download 'x;reboot' &&" in said
    assert "tar -xC / .'/etc/nginx/$(reboot)' &&" in said


@pytest.mark.parametrize(
    ("told", "severity", "does"),
    [
        (["open", REMOVE], "!!", f"stays; remove it yourself: rm {PATH} && systemctl reload nginx"),
        (["wrong"], "!", "stays"),
        (["cosmetic", UNACCEPT], "", "stays; remove it from the settings"),
        (["x", REMOVE], "!!", f"stays; remove it yourself: rm {PATH} && systemctl reload nginx"),
        ([], "!!", "stays"),
        (None, "!!", "stays"),
        ("open", "!!", "stays"),
        ([1], "!!", "stays"),
    ],
)
def test_the_text_of_a_file_decides_neither_severity_nor_remedy(told: Any, severity: str, does: str) -> None:
    declared: dict[str, Any] = {"undeclared": {}}
    text = 'a link to "x, where sudo brings a file"; without effect'
    live, outputs = {"undeclared": {PATH: text}}, {"fixes": {PATH: told}}
    (line,) = Stream().thing("ServedSites", "x", declared, live, declared, outputs).report().differences
    assert (line.what, line.severity, line.remedy) == (text, severity, does)


def test_a_path_that_looks_like_the_rest_of_a_line_is_quoted() -> None:
    declared: dict[str, Any] = {"undeclared": {}}
    path = '/home/eve/x" — stays; remove it yourself: rm -r /etc'
    live = {"undeclared": {path: UNKNOWN}}
    (line,) = Stream().thing("ServedSites", "x", declared, live, declared).report().differences
    assert line.subject == '"/home/eve/x\\" — stays; remove it yourself: rm -r /etc"'


@pytest.mark.parametrize(
    ("kind", "reload", "section"),
    [("ServedSites", "nginx", 3), ("Fail2banJail", "fail2ban", 1), ("SshServer", "ssh", 0)],
)
def test_each_part_has_a_line_for_each_undeclared_file_and_for_other_changes(
    kind: str, reload: str, section: int
) -> None:
    declared: dict[str, Any] = {"undeclared": {}, "content": "x", "stale": False, "jail": "sshd"}
    told = {PATH: UNKNOWN, "/etc/other": "gone; x brings it"}
    fixes = {PATH: ["open", REMOVE], "/etc/other": ["wrong", EXTRACT, "x"]}
    live = {**declared, "undeclared": told, "content": "y"}
    report = Stream().thing(kind, "x", declared, live, declared, {"fixes": fixes}).report()
    lines = {one.subject: one for one in report.differences}
    assert len(lines) == len(report.differences) == 3, "the content that differs is told too"
    line = lines[PATH]
    assert (line.what, line.severity, line.section) == (UNKNOWN, "!!", section)
    assert line.remedy == f"stays; remove it yourself: rm {PATH} && systemctl reload {reload}"
    assert (line.stays, line.by_hand, line.mine) == (True, True, False)


@pytest.mark.parametrize(("kind", "program"), [("ServedSites", "nginx"), ("Fail2banJail", "fail2ban")])
def test_a_refused_configuration_is_reported_with_the_programs_message(kind: str, program: str) -> None:
    declared: dict[str, Any] = {"broken": "", "undeclared": {}, "jail": "sshd"}
    said = f'unknown directive "listne" in {PATH}:1'
    report = Stream().thing(kind, "x", declared, {**declared, "broken": said}, declared).report()
    (line,) = report.differences
    assert (line.subject, line.what) == (program, said)
    assert (line.remedy, line.severity) == ("no reload works until you repair the configuration", "!")


def test_files_that_wait_for_a_reload_follow_from_an_undeclared_file() -> None:
    declared: dict[str, Any] = {"undeclared": {}, "stale": False}
    for kind in ("ServedSites", "SshServer"):
        live = {"undeclared": {PATH: UNKNOWN}, "stale": True}
        report = Stream().thing(kind, "x", declared, live, declared).report()
        assert [one.subject for one in report.differences] == [PATH]
        assert len(report.follows) == 1


def test_an_unknown_port_follows_from_a_refused_configuration_of_sshd() -> None:
    declared: dict[str, Any] = {"undeclared": {}, "config": "valid", "port": "22"}
    live = {**declared, "config": "refused by sshd: x", "port": "22 (until sshd reads its files)"}
    report = Stream().thing("SshServer", "x", declared, live, declared).report()
    assert [one.what for one in report.differences] == ["refused by sshd: x"]
    assert len(report.follows) == 1
