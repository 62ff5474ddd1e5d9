"""Who was logged in over SSH, and when: from sshd's own lines in the journal."""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Tuple

from portcullis.agent.errors import AgentError
from portcullis.components.users.on_host import authorized_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record
    from portcullis.components.inventory.on_host.look import Look

_TIMEOUT = 30.0
_LONGEST_LOGIN = 7 * 86400.0  # seconds before a change in which the login that made it may have begun
_MARGIN = 1.0  # seconds that a line may come after what it tells
# Since OpenSSH 9.8 a session is a program of its own. `logger -t sshd` has another _EXE, whoever runs it.
_NAMES = ("sshd", "sshd-session")
_PROGRAMS = ("/usr/sbin/sshd", "/usr/lib/openssh/sshd-session")
_STARTED = 19  # where proc(5) has a process's start, counted behind its name
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
    """One login over SSH.

    Attributes:
        key_name: the declared name of the key, or its fingerprint.
        user: the account.
        address: where it came from.
        start: seconds since 1970.
        end: seconds since 1970; None while it lasts.
    """

    key_name: str
    user: str
    address: str
    start: float
    end: float | None


@dataclass(frozen=True)
class Line:
    """A line that sshd wrote.

    Attributes:
        time: seconds since 1970.
        boot: the boot that it belongs to.
        pid: the process that wrote it.
    """

    time: float
    boot: str
    pid: str
    text: str


def logins(look: Look, since: float) -> list[Login]:
    """Return the logins that were open at or after `since`, in seconds since 1970.

    One that began a week before is not known any more. Nothing where the journal cannot be read: a change is
    then nobody's, which is said as it is.
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
    """Return sshd's lines. What strangers try at the door, of which there is much, is left out there."""
    done = machine.run(
        [
            "journalctl", "--no-pager", "--quiet", "--output=json", f"--output-fields={_FIELDS}",
            f"--since=@{max(int(since), 0)}", f"--grep={_LINES}", "--case-sensitive=yes", "_UID=0",
            *(f"SYSLOG_IDENTIFIER={name}" for name in _NAMES),
        ],
        timeout=_TIMEOUT,
    )  # fmt: skip
    return done.out  # journalctl ends with 1 where there is no such line


def parse(text: str) -> List[Line]:
    """Return the lines of ``journalctl --output=json`` that sshd itself wrote, in the order of time."""
    found = []
    for raw in text.splitlines():
        try:
            entry: Dict[str, Any] = json.loads(raw)
            time = int(entry["__REALTIME_TIMESTAMP"]) / 10**6
        except (ValueError, TypeError, KeyError):
            continue
        # A message with bytes that are no text is a list of numbers; sshd's have none.
        if isinstance(entry.get("MESSAGE"), str) and _is_of_sshd(entry):
            boot, pid = str(entry.get("_BOOT_ID")), str(entry.get("_PID"))
            found.append(Line(time, boot, pid, entry["MESSAGE"]))
    return sorted(found, key=lambda line: line.time)


def _is_of_sshd(entry: Dict[str, Any]) -> bool:
    """Return whether sshd wrote a line. Of a process that has just ended the journal may not know that.

    Such a line lets nobody in; that it ends a session is told by the number of its process, which is no
    matter of who writes it.
    """
    program = entry.get("_EXE")
    return program in _PROGRAMS or (program is None and not _ACCEPTED.match(entry["MESSAGE"]))


def sessions(
    lines: Iterable[Line], names: Mapping[str, str], booted: float, is_alive: Callable[[str], bool]
) -> List[Login]:
    """Return the logins that lines tell of.

    Args:
        lines: in the order of time.
        names: declared names of keys, by fingerprint.
        booted: when the host did, in seconds since 1970.
        is_alive: whether the process of a session is there, by its number.
    """
    found: List[Login] = []
    begun: Dict[Tuple[str, str], Tuple[Line, re.Match[str]]] = {}

    def end(key: Tuple[str, str], at: float | None) -> None:
        line, match = begun.pop(key)
        found.append(
            Login(_key_name(match, names), match["user"], match["address"], line.time, at and at + _MARGIN)
        )

    for line in lines:
        key = (line.boot, line.pid)
        accepted = _ACCEPTED.match(line.text)
        if accepted:
            if key in begun:
                end(key, line.time)  # its number was given anew
            begun[key] = line, accepted
        elif _CLOSED.match(line.text):
            if key in begun:
                end(key, line.time)
        else:
            # The process of the session writes this, and not the one that let it in.
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
        # What was open when the host went down ended then. Of another that is gone nobody knows when it
        # ended, so nothing that came after its start is said to be its doing.
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


def key_names(records: Sequence[Record]) -> Dict[str, str]:
    """Return the declared names of keys by their fingerprints, of all declared users."""
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
    """Return when the first process began, in seconds since 1970: proc(5).

    Not the kernel's boot alone: a host that is itself a container restarts without that.
    """
    try:
        text = (machine.proc / "stat").read_text("ascii", "replace")
        first = (machine.proc / "1/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        booted = re.search(r"^btime (\d+)$", text, re.MULTILINE)
        return float(booted[1]) + int(first[_STARTED]) / os.sysconf("SC_CLK_TCK") if booted else 0.0
    except (OSError, ValueError, IndexError):
        return 0.0
