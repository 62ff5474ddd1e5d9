"""The local accounts and groups of a host: passwd(5), group(5), shadow(5), and the programs that change them.

We read the files directly, because we must not change accounts that come from a directory service.
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
"""Names of programs that stand in place of a shell and refuse a login."""
_TIMEOUT = 60.0
_END_LIMIT = 10.0  # seconds in which the processes of an account must end
_KILL_AFTER = 1.0  # seconds after which we kill processes that still run
_POLL = 0.05  # seconds between two checks
# useradd and similar programs lock the files, and fail while another program has the lock.
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
        """The state of the password: `NO_PASSWORD`, ``set`` or ``empty``.

        With ``empty`` anybody can log in without a password.
        """
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
    """All local accounts and groups, read at one moment."""

    accounts: dict[str, Account]
    groups: dict[str, Group]

    def groups_of(self, name: str) -> list[str]:
        """Names of the groups that list the user as a member, without the primary group."""
        return sorted(group.name for group in self.groups.values() if name in group.members)


def read(machine: Machine) -> Directory:
    """Read the local accounts and groups from their files. Raises `AgentError` (``unreadable``)."""
    secrets = {fields[0]: fields[1] for fields in _lines(machine.etc / "shadow", 2)}
    accounts: dict[str, Account] = {}
    for name, secret, uid, gid, _, home, shell in _lines(machine.etc / "passwd", 7):
        if uid.isdecimal() and gid.isdecimal():
            # If a name has several lines, the first line counts, as in the C library.
            shadow = secrets.get(name, "*") if secret == "x" else secret  # noqa: S105 - "x": it is in shadow
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
        # Split at line feeds only, as the C library does. Python's splitlines also splits at other
        # characters, with which an attacker could hide an account.
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(error, path) from None
    split = [line.split(":") for line in text.split("\n") if line[:1] not in ("", "#", "+", "-")]
    return [words[:fields] for words in split if len(words) >= fields]


def change(machine: Machine, *argv: str, prop: str = "user") -> None:
    """Run useradd or a similar program. Raises `AgentError` (``accounts``) with the program's message."""
    with _ONE_AT_A_TIME:
        done = machine.run(argv, timeout=_TIMEOUT)
    if done.code:
        raise AgentError(
            "accounts", f"the command {argv[0]} failed (exit code {done.code})", prop=prop, detail=done.text
        )


def end_sessions(machine: Machine, account: Account) -> None:
    """End every process of an account.

    The account's SSH connections end, too, because their sshd runs as the user.

    Raises `AgentError` (``accounts``) if some processes do not end. Processes of root stay.
    """
    if account.uid == 0 or not _processes(machine, account.uid):
        return
    with contextlib.suppress(AgentError):  # the host has no logind
        # First ask logind to end the processes. If we killed the user's systemd, its unit would count as
        # failed.
        machine.run(["loginctl", "terminate-user", account.name], timeout=_END_LIMIT)
    begun = time.monotonic()
    while True:
        found = _processes(machine, account.uid)
        if not found:
            return
        waited = time.monotonic() - begun
        if waited > _END_LIMIT:
            raise AgentError(
                "accounts", f"the sessions of the user {account.name} do not end", prop="sessions",
                hint=f"`ps -u {account.name}` shows the processes of this user",
            )  # fmt: skip
        for number in found if waited > _KILL_AFTER else ():
            with contextlib.suppress(OSError):  # the process has ended by itself
                os.kill(number, signal.SIGKILL)
        time.sleep(_POLL)


def _processes(machine: Machine, uid: int) -> list[int]:
    """The processes that run as a user. A zombie does not count, because it has ended."""
    found = []
    for path in machine.proc.glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            text = path.read_text("utf-8", "replace")
            owner = re.search(r"^Uid:\s+(\d+)", text, re.MULTILINE)
            if owner and int(owner[1]) == uid and not re.search(r"^State:\s+Z", text, re.MULTILINE):
                found.append(int(path.parent.name))
    return found


def is_shell(path: str) -> bool:
    """Return whether an account with this program as its shell can log in.

    nologin(8) and false(1) refuse every login.
    """
    return path.rsplit("/", 1)[-1] not in NO_LOGIN
