"""The host's own accounts and groups: passwd(5), group(5), shadow(5), and the programs that change them.

Read from the files themselves: what a directory service serves is not ours to change.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent.disk import unreadable
from portcullis.agent.errors import AgentError
from portcullis.components.users.facts import NO_PASSWORD

if TYPE_CHECKING:
    from portcullis.agent.machine import Machine

NO_LOGIN = ("nologin", "false", "sync", "true")
"""Programs that are no shell, by their file's name."""
_TIMEOUT = 60.0
_LEAVING = 10.0  # seconds for the processes of an account to be gone, …
_PATIENCE = 1.0  # … of which this many without being killed
_GLANCE = 0.05
# useradd and its like lock the files and do not wait for each other.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Account:
    """A line of /etc/passwd, with the password field of /etc/shadow."""

    name: str
    uid: int
    gid: int
    home: Path
    shell: str
    secret: str

    @property
    def password(self) -> str:
        """`NO_PASSWORD`, ``set``, or ``empty``: whoever asks is let in."""
        if not self.secret:
            return "empty"
        return NO_PASSWORD if self.secret[0] in "*!" else "set"


@dataclass(frozen=True)
class Group:
    """A line of /etc/group."""

    name: str
    gid: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Directory:
    """All accounts and groups at one moment."""

    accounts: dict[str, Account]
    groups: dict[str, Group]

    def groups_of(self, name: str) -> list[str]:
        """Names of the groups that list the user; the primary one does not."""
        return sorted(group.name for group in self.groups.values() if name in group.members)


def read(machine: Machine) -> Directory:
    """What the files say now. Raises `AgentError` (``unreadable``)."""
    secrets = {fields[0]: fields[1] for fields in _lines(machine.etc / "shadow", 2)}
    accounts: dict[str, Account] = {}
    for name, secret, uid, gid, _, home, shell in _lines(machine.etc / "passwd", 7):
        if uid.isdecimal() and gid.isdecimal():
            # The first line of a name counts, as for the C library.
            shadow = secrets.get(name, "*") if secret == "x" else secret  # noqa: S105 - where it is
            made = Account(name, int(uid), int(gid), Path(home or "/"), shell or "/bin/sh", shadow)
            accounts.setdefault(name, made)
    groups: dict[str, Group] = {}
    for name, _, gid, members in _lines(machine.etc / "group", 4):
        if gid.isdecimal():
            made_group = Group(name, int(gid), tuple(word for word in members.split(",") if word))
            groups.setdefault(name, made_group)
    return Directory(accounts, groups)


def _lines(path: Path, fields: int) -> list[list[str]]:
    try:
        # Split at line feeds alone, as the C library does: other characters that Python takes for the end of
        # a line may stand in one, and the account must not go unseen.
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(error, path) from None
    split = [line.split(":") for line in text.split("\n") if line[:1] not in ("", "#", "+", "-")]
    return [words[:fields] for words in split if len(words) >= fields]


def change(machine: Machine, *argv: str, prop: str = "user") -> None:
    """Run useradd and its like. Raises `AgentError` (``accounts``) with what it said."""
    with _ONE_AT_A_TIME:
        done = machine.run(argv, timeout=_TIMEOUT)
    if done.code:
        raise AgentError(
            "accounts", f"{argv[0]} refuses (exit code {done.code})", prop=prop, detail=done.text
        )


def end_sessions(machine: Machine, account: Account) -> None:
    """End every process of an account, and with it each connection: sshd itself is the user once logged in.

    Raises `AgentError` (``accounts``) when some live on. Root's are left alone.
    """
    if account.uid == 0 or not _processes(machine, account.uid):
        return
    with contextlib.suppress(AgentError):  # a host without logind
        # First in good order: a manager of theirs that is killed would count as a unit that failed.
        machine.run(["loginctl", "terminate-user", account.name], timeout=_LEAVING)
    begun = time.monotonic()
    while True:
        found = _processes(machine, account.uid)
        if not found:
            return
        waited = time.monotonic() - begun
        if waited > _LEAVING:
            raise AgentError(
                "accounts", f"sessions of {account.name} do not end", prop="sessions",
                hint=f"look at them: ps -u {account.name}",
            )  # fmt: skip
        for number in found if waited > _PATIENCE else ():
            with contextlib.suppress(OSError):  # it ended by itself
                os.kill(number, signal.SIGKILL)
        time.sleep(_GLANCE)


def _processes(machine: Machine, uid: int) -> list[int]:
    """The processes that run as a user; a zombie runs no more."""
    found = []
    for path in machine.proc.glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            text = path.read_text("utf-8", "replace")
            owner = re.search(r"^Uid:\s+(\d+)", text, re.MULTILINE)
            if owner and int(owner[1]) == uid and not re.search(r"^State:\s+Z", text, re.MULTILINE):
                found.append(int(path.parent.name))
    return found


def is_shell(path: str) -> bool:
    """Whether somebody can log in with it; nologin(8) and false(1) turn everybody away."""
    return path.rsplit("/", 1)[-1] not in NO_LOGIN
