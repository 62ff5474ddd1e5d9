"""The report has a line for each undeclared file, with a command that removes or repairs it."""

from __future__ import annotations

from typing import Any

import pytest

from portcullis.agent.strangers import LINK, OLD, OTHER_NAME, SOME_PACKAGE, UNKNOWN, WITHOUT_EFFECT
from portcullis.host.strangers import remedy, severity
from tests.cli.report.streams import Stream

PATH = "/etc/nginx/conf.d/evil.conf"
CACHED = "/var/lib/ucf/cache/:etc:nginx:conf.d:evil.conf"
RELOAD = "systemctl reload x"
_DEB = "dpkg-deb --fsys-tarfile nginx-common_*.deb"
BACK = f'cd "$(mktemp -d)" && apt-get download nginx-common && {_DEB} | tar -xC / .{PATH} && {RELOAD}'
# The host's text about a file, the remedy, and the severity.
TEXTS = {
    f"{UNKNOWN}; nginx loads it: serves evil.com on 80": (f"remove it yourself: rm {PATH} && {RELOAD}", "!!"),
    f"{UNKNOWN}; nginx does not load it": (f"remove it yourself: rm {PATH} && {RELOAD}", ""),
    f"{UNKNOWN}; mode 0777, where 0644 is usual; sets [x]": (
        f"remove it yourself: rm {PATH} && {RELOAD}",
        "!!",
    ),
    f"{LINK}/srv/x; without effect": (f"remove it yourself: rm {PATH} && {RELOAD}", ""),
    "changed by hand: not as nginx-common brings it": (f"restore it yourself: {BACK}", "!"),
    "changed by hand: not as nginx-common brings it; nginx loads it: serves evil.com": (
        f"restore it yourself: {BACK}",
        "!!",
    ),
    f"changed by hand: not as {SOME_PACKAGE} brings it; sets permittty yes": (
        f"restore it yourself: cp --remove-destination {CACHED} {PATH} && {RELOAD}",
        "!!",
    ),
    f"gone; {SOME_PACKAGE} brings it; sshd does not start without it": (
        f"restore it yourself: cp --remove-destination {CACHED} {PATH} && {RELOAD}",
        "!",
    ),
    "gone; nginx-common brings it": (f"restore it yourself: {BACK}", "!"),
    "a link, where nginx-common brings a file, to /srv/x": (
        f"restore it yourself: {BACK}",
        "!",
    ),
    "a directory, where nginx-common brings a file": (f"restore it yourself: rm -r {PATH} && {BACK}", "!"),
    "a named pipe, where nginx-common brings a file": (f"restore it yourself: {BACK}", "!"),
    "mode 0777, where 0755 is usual": (f"repair it yourself: chmod 0755 {PATH} && {RELOAD}", "!!"),
    "belongs to bob:staff, mode 0666, where 0644 is usual; without effect": (
        f"repair it yourself: chown root:root {PATH} && chmod 0644 {PATH} && {RELOAD}",
        "!!",
    ),
    "belongs to bob:staff": (f"repair it yourself: chown root:root {PATH} && {RELOAD}", "!!"),
    WITHOUT_EFFECT: ("remove it from the settings", ""),
}


@pytest.mark.parametrize("text", TEXTS)
def test_an_undeclared_file_stays_and_has_a_remedy(text: str) -> None:
    does, mark = TEXTS[text]
    assert remedy(PATH, text, RELOAD) == f"stays; {does}"
    assert severity(text).value == mark


@pytest.mark.parametrize(
    "text",
    [
        f"{OLD}, and was changed; {UNKNOWN}; nginx loads it",
        f"{OLD}, and is gone",
        f"{OTHER_NAME}; {UNKNOWN}; nginx loads it",
        "cannot be read: it is no file",
        "over 2000 entries that nobody declared",
        "gone; x;reboot brings it",
        "gone; -x brings it",
        "",
    ],
)
def test_an_unknown_text_has_no_command(text: str) -> None:
    assert remedy(PATH, text, RELOAD) == "stays"


def test_a_path_of_the_host_cannot_become_a_command() -> None:
    said = remedy("/etc/nginx/$(reboot)", UNKNOWN, RELOAD)
    assert said == f"stays; remove it yourself: rm '/etc/nginx/$(reboot)' && {RELOAD}"


@pytest.mark.parametrize(
    ("kind", "reload", "section"),
    [("ServedSites", "nginx", 3), ("Fail2banJail", "fail2ban", 1), ("SshServer", "ssh", 0)],
)
def test_each_part_has_a_line_for_each_undeclared_file_and_for_other_changes(
    kind: str, reload: str, section: int
) -> None:
    declared: dict[str, Any] = {"strangers": {}, "content": "x", "stale": False, "jail": "sshd"}
    told = {PATH: UNKNOWN, "/etc/other": "gone; x brings it"}
    live = {**declared, "strangers": told, "content": "y"}
    report = Stream().thing(kind, "x", declared, live, declared).report()
    lines = {one.subject: one for one in report.differences}
    assert len(lines) == len(report.differences) == 3, "the content that differs is told too"
    line = lines[PATH]
    assert (line.what, line.severity, line.section) == (UNKNOWN, "!!", section)
    assert line.remedy == f"stays; remove it yourself: rm {PATH} && systemctl reload {reload}"
    assert (line.stays, line.by_hand, line.mine) == (True, True, False)


@pytest.mark.parametrize(("kind", "program"), [("ServedSites", "nginx"), ("Fail2banJail", "fail2ban")])
def test_a_refused_configuration_is_reported_with_the_programs_message(kind: str, program: str) -> None:
    declared: dict[str, Any] = {"broken": "", "strangers": {}, "jail": "sshd"}
    said = f'unknown directive "listne" in {PATH}:1'
    report = Stream().thing(kind, "x", declared, {**declared, "broken": said}, declared).report()
    (line,) = report.differences
    assert (line.subject, line.what) == (program, said)
    assert (line.remedy, line.severity) == ("no reload works until you repair the configuration", "!")


def test_files_that_wait_for_a_reload_follow_from_an_undeclared_file() -> None:
    declared: dict[str, Any] = {"strangers": {}, "stale": False}
    for kind in ("ServedSites", "SshServer"):
        live = {"strangers": {PATH: UNKNOWN}, "stale": True}
        report = Stream().thing(kind, "x", declared, live, declared).report()
        assert [one.subject for one in report.differences] == [PATH]
        assert len(report.follows) == 1


def test_an_unknown_port_follows_from_a_refused_configuration_of_sshd() -> None:
    declared: dict[str, Any] = {"strangers": {}, "config": "valid", "port": "22"}
    live = {**declared, "config": "refused by sshd: x", "port": "22 (until sshd reads its files)"}
    report = Stream().thing("SshServer", "x", declared, live, declared).report()
    assert [one.what for one in report.differences] == ["refused by sshd: x"]
    assert len(report.follows) == 1
