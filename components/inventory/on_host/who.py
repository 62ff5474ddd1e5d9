"""Finds the logins over SSH and their times in sshd's own lines of the journal."""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portcullis.agent.errors import AgentError
from portcullis.components.users.on_host import authorized_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record
    from portcullis.components.inventory.on_host.look import Look

_TIMEOUT = 30.0
_LONGEST_LOGIN = 7 * 86400.0  # seconds that a login may last before it makes a change
_MARGIN = 1.0  # seconds that the journal's line may come after the event
# The programs whose lines count. Since OpenSSH 9.8, a session is a program of its own. A line that `logger -t
# sshd` forges has another _EXE.
_NAMES = ("sshd", "sshd-session")
_PROGRAMS = ("/usr/sbin/sshd", "/usr/lib/openssh/sshd-session")
_STARTED = 19  # the index of the start time in /proc/PID/stat, counted after the name: proc(5)
_FIELDS = "MESSAGE,_PID,_EXE,_BOOT_ID"
_LINES = r"^(Accepted |pam_unix\(sshd:session\): session closed for |Disconnected from user )"
_ACCEPTED = re.compile(
    r"Accepted (?P<method>\S+) for (?P<user>\S+) from (?P<address>\S+) port (?P<port>\d+) ssh2"
    r"(?:: \S+ (?P<key>SHA256:[A-Za-z0-9+/]+))?"
)
_CLOSED = re.compile(r"pam_unix\(sshd:session\): session closed for user (?P<user>\S+)")
_LEFT = re.compile(r"Disconnected from user (?P<user>\S+) (?P<address>\S+) port (?P<port>\d+)")


@dataclass(frozen=True)
class Login:
    """A login over SSH.

    Attributes:
        key_name: the declared name of the key, or its fingerprint.
        user: the name of the account.
        address: the address from which the login came.
        start: the time of the login, in seconds since 1970.
        end: the time of the logout, in seconds since 1970, or None while the session lasts.
    """

    key_name: str
    user: str
    address: str
    start: float
    end: float | None


@dataclass(frozen=True)
class Line:
    """A line of the journal that sshd wrote.

    Attributes:
        time: the time of the line, in seconds since 1970.
        boot: the id of the boot in which the line was written.
        pid: the id of the process that wrote the line.
        text: the message of the line.
    """

    time: float
    boot: str
    pid: str
    text: str


def logins(look: Look, since: float) -> list[Login]:
    """Return the logins that were open at or after `since`, in seconds since 1970.

    A login that began more than a week before `since` is missing. If the journal cannot be read, there are no
    logins. Then the report says that it does not know who made a change.
    """
    machine = look.machine

    def alive(pid: str) -> bool:
        with contextlib.suppress(OSError):
            return (machine.proc / pid / "comm").read_text("ascii", "replace").startswith("sshd")
        return False

    with contextlib.suppress(AgentError):
        lines = parse(_journal(look.machine, since - _LONGEST_LOGIN))
        found = sessions(lines, key_names(look.records), _booted(look.machine), alive)
        return [one for one in found if one.end is None or one.end >= since]
    return []


def _journal(machine: Machine, since: float) -> str:
    """Return sshd's lines about logins. journalctl leaves out failed attempts, because there are many."""
    done = machine.run(
        [
            "journalctl", "--no-pager", "--quiet", "--output=json", f"--output-fields={_FIELDS}",
            f"--since=@{max(int(since), 0)}", f"--grep={_LINES}", "--case-sensitive=yes", "_UID=0",
            *(f"SYSLOG_IDENTIFIER={name}" for name in _NAMES),
        ],
        timeout=_TIMEOUT,
    )  # fmt: skip
    return done.out  # journalctl exits with 1 if there is no such line


def parse(text: str) -> list[Line]:
    """Return the lines of ``journalctl --output=json`` that sshd itself wrote, ordered by time."""
    found = []
    for raw in text.splitlines():
        try:
            entry: dict[str, Any] = json.loads(raw)
            time = int(entry["__REALTIME_TIMESTAMP"]) / 10**6
        except (ValueError, TypeError, KeyError):
            continue
        # journalctl writes a message that is no text as a list of numbers. sshd writes only text.
        if isinstance(entry.get("MESSAGE"), str) and _is_of_sshd(entry):
            boot, pid = str(entry.get("_BOOT_ID")), str(entry.get("_PID"))
            found.append(Line(time, boot, pid, entry["MESSAGE"]))
    return sorted(found, key=lambda line: line.time)


def _is_of_sshd(entry: dict[str, Any]) -> bool:
    """Return whether sshd wrote a line of the journal.

    The journal may not know the program of a process that has just ended. A line of such a process is
    accepted unless the line reports a login. A line that ends a session must have the session's process id,
    which nobody can forge.
    """
    program = entry.get("_EXE")
    return program in _PROGRAMS or (program is None and not _ACCEPTED.match(entry["MESSAGE"]))


def sessions(
    lines: Iterable[Line], names: Mapping[str, str], booted: float, is_alive: Callable[[str], bool]
) -> list[Login]:
    """Return the logins that sshd's lines report.

    Args:
        lines: the lines, ordered by time.
        names: the declared names of keys, by fingerprint.
        booted: the time of the host's last boot, in seconds since 1970.
        is_alive: whether the process of a session still exists, by its id.
    """
    found: list[Login] = []
    begun: dict[tuple[str, str], tuple[Line, re.Match[str]]] = {}

    def end(key: tuple[str, str], at: float | None) -> None:
        line, match = begun.pop(key)
        found.append(
            Login(_key_name(match, names), match["user"], match["address"], line.time, at and at + _MARGIN)
        )

    for line in lines:
        key = (line.boot, line.pid)
        accepted = _ACCEPTED.match(line.text)
        if accepted:
            if key in begun:
                end(key, line.time)  # another process has got the same id
            begun[key] = line, accepted
        elif _CLOSED.match(line.text):
            if key in begun:
                end(key, line.time)
        else:
            # The process of the session writes this line. Another process writes the line about the login.
            left = _LEFT.match(line.text)
            ended = [
                one
                for one, (_, match) in begun.items()
                if left and one[0] == line.boot and _same(left, match)
            ]
            for one in ended:
                end(one, line.time)
    for key in list(begun):
        began = begun[key][0].time
        # A login that was open when the host went down ended at that time. If the process of a later login is
        # gone, the end of the login is unknown. Such a login ends at its start, so that no later change is
        # attributed to it.
        if began < booted:
            end(key, booted)
        else:
            end(key, None if is_alive(key[1]) else began)
    return sorted(found, key=lambda login: login.start)


def _same(left: re.Match[str], accepted: re.Match[str]) -> bool:
    return all(left[name] == accepted[name] for name in ("user", "address", "port"))


def _key_name(accepted: re.Match[str], names: Mapping[str, str]) -> str:
    key = accepted["key"]
    return names.get(key, key) if key else f"none, by {accepted['method']}"


def key_names(records: Sequence[Record]) -> dict[str, str]:
    """Return the declared names of all declared users' keys, by fingerprint."""
    found = {}
    for record in records:
        if record.kind != "users.users":
            continue
        for name, line in (record.spec.get("keys") or {}).items():
            key = authorized_keys.parse(str(line))
            if key is not None:
                found[key.fingerprint] = str(name)
    return found


def _booted(machine: Machine) -> float:
    """Return the start time of the first process, in seconds since 1970: proc(5).

    The boot time of the kernel is not enough, because a host that is itself a container restarts without a
    boot of the kernel.
    """
    try:
        text = (machine.proc / "stat").read_text("ascii", "replace")
        first = (machine.proc / "1/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        booted = re.search(r"^btime (\d+)$", text, re.MULTILINE)
        return float(booted[1]) + int(first[_STARTED]) / os.sysconf("SC_CLK_TCK") if booted else 0.0
    except (OSError, ValueError, IndexError):
        return 0.0
