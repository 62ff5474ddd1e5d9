"""Hostile users of a host cannot hide what root did, speak through the report, or stop a preview.

`lab/hostile_user.py` has what they make. Root changes the host by hand among it.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import hostile_user
from lab.hostile_user import CANARY, FLOODED, KEYS, PORT, PROCESSES, SETUID, TRIPPED
from tests.e2e.host.watch import wait_for
from tests.e2e.inventory import report
from tests.e2e.inventory.changes import CHANGES, holds
from tests.e2e.project import STACK

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program

# The first user makes everything. The others make few things, so that each of these is a line.
USERS = ("mallory", "oscar", "trudy")
SHOWN = 20
"""A preview shows so many entries of one user in each part of the inventory."""
# The words that a user would like to slip to root.
_NAME = f"{CANARY}; touch {CANARY} $(touch {CANARY}) '\""
_CRON, _LINK, _SETUID = f"/etc/cron.d/{_NAME}", f"/usr/local/bin/{_NAME}", f"/home/mallory/{_NAME}"
_TARGET = f"/home/mallory/.local/bin/{_NAME}, not as /etc/shadow has it"
_JAIL, _SITE = f"/etc/fail2ban/jail.d/{_NAME}.conf", f"/etc/nginx/conf.d/{_NAME}.conf"
_ROOTS = (
    "key-of-root", "sudoers", "unit-that-runs", "timer", "setuid-copy", "setuid-on-a-packaged-program",
    "program-changed", "program-that-all-may-write", "container-with-the-host's-disk", "sshrc", "ca-file",
    "shell-of-a-system-account", "code-that-programs-load", "rule-of-polkit", "service-of-d-bus",
    "compiled-code", "listener", "udev",
)  # fmt: skip
ROOTS = {name: CHANGES[name] for name in _ROOTS}
# These have names that a user chose.
NAMED = {
    **{path: f"touch {shlex.quote(path)}" for path in (_CRON, _JAIL, _SITE)},
    _LINK: f"ln -s {shlex.quote(_TARGET)} {shlex.quote(_LINK)}",
    _SETUID: f"cp /bin/bash {shlex.quote(_SETUID)}; chmod 4755 {shlex.quote(_SETUID)}",
}
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_PARTS = re.compile(rf'(?P<what>(?:{_QUOTED.pattern}|[^"])*?)( — stays; [^:"]* yourself: (?P<command>.*))?')
_FLOODED = f"tcp4 0.0.0.0:{FLOODED}"
_USER = "|".join(USERS)
_THEIRS = re.compile(rf'(nightly walk, |more of |more files in /home/)?({_USER})\b|"?/home/({_USER})/')


@dataclass
class Beset:
    """A host with hostile users, the number of things that each has made, and what a preview tells of it."""

    program: Program
    made: dict[str, int]
    told: list[report.Line]
    text: list[str]

    def line(self, *words: str) -> report.Line:
        """Return the only line with these words."""
        (found,) = [line for line in self.told if holds(line.text, words)]
        return found


@pytest.fixture(scope="module")
def beset(deployed: Program) -> Beset:
    """Let users make what they like, and then root."""
    return made(deployed)


def made(deployed: Program) -> Beset:
    """Make the things of users and of root, and preview the host."""
    host = deployed.host
    report.walk(deployed)
    report.quiet(deployed, "before anybody did anything")
    script = Path(hostile_user.__file__).read_text()
    things = json.loads(host.run(["python3", "-", *USERS], text=script).stdout)
    for does in (*(change.does for change in ROOTS.values()), *NAMED.values()):
        host.run("set -e; " + does.replace("IMAGE", deployed.image("hello:1")))
    report.walk(deployed)
    return Beset(deployed, things, report.lines(deployed), report.text(deployed, "--details"))


def test_there_is_much_of_every_kind(beset: Beset) -> None:
    assert beset.made["mallory"] >= 30_000
    assert sum(beset.made.values()) - beset.made["mallory"] == len(hostile_user.SAYINGS) >= 30
    listening = beset.program.host.run("ss -Htulnp").stdout
    assert all(f":{PORT + number} " in listening for number in range(len(PROCESSES)))


def test_each_change_of_root_is_one_line_among_it(beset: Beset) -> None:
    """N5: also a program of root in the home of a user who has made a thousand."""
    others = [line for line in beset.told if not _is_theirs(line)]
    verdict = report.judge(ROOTS, [line for line in others if CANARY not in line.text])
    assert not verdict.faults, verdict
    assert {line.subject for line in others if CANARY in line.subject} == {*map(_quoted, NAMED)}


def test_every_cut_is_told(beset: Beset) -> None:
    keys = [line for line in beset.told if line.subject.startswith("mallory SHA256:")]
    programs = [
        line for line in beset.told if line.subject.startswith(("/home/mallory/aaa", '"/home/mallory/aaa'))
    ]
    assert len(keys) == len(programs) == SHOWN
    # N3: neither the number of keys, nor equal keys, nor a line without an end stop the reader.
    cut = beset.line("/home/mallory/.ssh/authorized_keys", "keys after the first 256 KB are not read")
    assert int(re.search(r"(\d+) more keys are not shown", cut.what)[1]) > KEYS / 2
    assert beset.line("nightly walk, mallory", f"found {SETUID - 100} more programs or folders")
    more = [line.what for line in beset.told if line.subject == "more of mallory"]
    assert more.count("80 more are not shown") == 2, "of 100 keys and of 100 programs"
    assert len(more) == 3, "and of files"
    # N19: of a folder with too many files, so many are read as of any home.
    assert beset.line("more files in /home/mallory", "more than 2000 files: the rest is not read")


def test_who_has_many_open_files_hides_nothing_but_the_owner_of_an_own_listener(beset: Beset) -> None:
    """R1: the listener itself is shown. `_ROOTS` has a listener of root, with its owner."""
    unknown = [line.subject for line in beset.told if "unknown process" in line.what]
    assert unknown == [_FLOODED]


def test_no_word_of_theirs_stands_without_quotes(beset: Beset) -> None:
    for line in (*(line.text for line in beset.told), *beset.text):
        parts = _PARTS.fullmatch(line)
        assert parts, f"quotes that do not end: {line}"
        assert CANARY not in _QUOTED.sub("", parts["what"]), line
        # In a command, such a name is one word.
        words = shlex.split(parts["command"] or "")
        assert all(word in NAMED for word in words if CANARY in word), line


def test_nothing_that_is_printed_controls_a_terminal_or_a_pipeline(beset: Beset) -> None:
    program = beset.program
    for said in ("\n".join(beset.text), report.read(program, "--json").stdout, program.preview().output):
        assert CANARY in said
        assert _controls(said) == []


def test_no_command_lies_where_a_user_could_redirect_it(beset: Beset) -> None:
    """N1 and N2: what root pastes touches nothing that a user may write."""
    commands = {line.command for line in beset.told if line.command and not _is_theirs(line)}
    assert not [command for command in commands if any(f"/home/{user}" in command for user in USERS)]
    accounts = {line.command for line in beset.told if line.command and _is_theirs(line)}
    assert accounts == {f"userdel -r {user}" for user in USERS}


def test_root_opens_nothing_that_a_user_put_in_the_place_of_a_file(beset: Beset) -> None:
    """N15: their key file and their .bashrc are links to a pipe, whose other end waits for a reader."""
    is_tripped = ["test", "-e", f"/home/mallory/{TRIPPED}"]
    assert beset.program.host.run(is_tripped, check=False).returncode == 1
    # Whoever reads the pipe is noticed.
    beset.program.host.run("head -c 1 /home/mallory/pipe")
    wait_for("the trap", lambda: beset.program.host.run(is_tripped, check=False).returncode == 0)


def test_a_user_takes_no_port_of_a_service(beset: Beset) -> None:
    """S1: a local user cannot listen on a site's port, also not while nginx is stopped."""
    takes = "import socket, sys; socket.socket().bind(('', int(sys.argv[1])))"
    host = beset.program.host
    host.run("systemctl stop nginx")
    try:
        for port in (80, 443, 8080, 28000):
            said = host.run(
                ["runuser", "-u", "mallory", "--", "python3", "-c", takes, str(port)], check=False
            )
            assert "PermissionError" in said.stderr, (port, said.stderr)
    finally:
        host.run("systemctl start nginx")


def test_what_root_pastes_takes_back_what_root_did_and_nothing_else(beset: Beset) -> None:
    """N1 and N11: no word of a user becomes a word of the command."""
    host = beset.program.host
    before = host.run("sha256sum /etc/shadow; ls -A /root").stdout
    pasted = {line.subject: line.command for line in beset.told if line.command and not _is_theirs(line)}
    assert pasted.keys() >= {_quoted(path) for path in NAMED if path != _SETUID}
    for command in pasted.values():
        host.run(command)
    assert host.run("sha256sum /etc/shadow; ls -A /root").stdout == before
    report.walk(beset.program)
    assert not pasted.keys() & {line.subject for line in report.lines(beset.program)}


def test_pulumi_s_own_output_has_no_control_characters_of_the_host(beset: Beset) -> None:
    """N20: the docker plugin repeats what the docker client on the host says."""
    host, docker = beset.program.host, "/usr/bin/docker"
    host.run(f"mv {docker} {docker}.kept")
    try:
        said = f"printf '\\033]0;{CANARY}\\a\\n::error::{CANARY}\\n' >&2; exit 1"
        host.write(docker, f"#!/bin/sh\n{said}\n")
        host.run(["chmod", "755", docker])
        done = subprocess.run(
            [sys.executable, "-m", "portcullis", "refresh", "--stack", STACK, "--yes"],
            cwd=beset.program.folder, env=beset.program.env, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, timeout=600,
        )  # fmt: skip
    finally:
        host.run(f"mv {docker}.kept {docker}")
    assert done.returncode
    assert CANARY in done.stdout + done.stderr
    assert _controls(done.stdout + done.stderr) == []


def _controls(said: str) -> list[str]:
    """Return what could control a terminal or the log of a pipeline."""
    kinds = ("Cc", "Cf", "Zl", "Zp")
    found = [char for char in said if unicodedata.category(char) in kinds and char not in "\n\t"]
    return found + re.findall(r"^\s*::\w+.*::|##\w*\[|<\{%", said, re.MULTILINE)


def _is_theirs(line: report.Line) -> bool:
    """Whether a line is about something that a user made, or about such a user."""
    is_roots = "root:root" in line.what and CANARY in line.subject
    if line.subject == _FLOODED:
        return True
    return "(mallory) in user@" in line.what or bool(_THEIRS.match(line.subject) and not is_roots)


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
