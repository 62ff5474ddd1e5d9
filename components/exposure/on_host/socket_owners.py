"""Finds the owner of a socket: the systemd unit, the container, or the process with its user."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.agent.quotes import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from portcullis.agent.machine import Machine

KERNEL = "no process (the kernel's own, as WireGuard)"
UNKNOWN = "an unknown process (an account has too many open files: the rest is not read)"
MOST_OF_A_PROCESS = 20_000
"""At most this number of open files of a process is read. The lowest numbers come first."""
MOST_OF_AN_ACCOUNT = 50_000
"""At most this number of open files of an account or of a container is read. Root's own processes have no
such limit."""
MOST_OF_ACCOUNTS = 200_000
"""At most this number of open files of all such accounts and containers is read. This takes about two
seconds."""
_SOCKET = re.compile(r"socket:\[(\d+)\]")
# The name of a container's control group, with systemd's driver and with Docker's own driver.
_CONTAINER = re.compile(r"(?:docker-)?([0-9a-f]{64})(?:\.scope)?")
_FOREIGN = re.compile(r"(?:libpod|cri-containerd|crio)-([0-9a-f]{12})[0-9a-f]{52}(?:\.scope)?")
# The names of services in systemd.unit(5).
_SERVICE = re.compile(r"[A-Za-z0-9:_.\\@-]+\.service")
_DOCKER = "docker.service"
_PROGRAM = re.compile(r"[A-Za-z0-9_-]+")
_SHORT = 15  # the kernel keeps this number of characters of a process's name
_TIMEOUT = 30.0
_ROOT = ("", 0)
_NO_ACCOUNT = 1 << 32  # more than any uid, so these come last
# The real uid of a process is that of the account which started it, see proc_pid_status(5).
_REAL = re.compile(r"^Uid:\s+(\d+)", re.MULTILINE)
_LONGEST = 1 << 16  # more than the kernel writes into any file that is read here


@dataclass(frozen=True)
class Process:
    """A process that has a socket open.

    `unit` is its systemd service, and `container` is the id of its container (64 digits).
    """

    pid: int
    parent: int
    name: str
    uid: int
    user: str
    unit: str
    container: str

    @property
    def is_dockers(self) -> bool:
        """Whether Docker runs this process.

        The process's name proves nothing, because a process chooses its own name.
        """
        return self.uid == 0 and self.unit == _DOCKER

    @property
    def text(self) -> str:
        """The text about the process for people.

        If the process is the unit's own program, the text names only the unit.
        """
        own = f"process {quoted(self.name)} ({self.user})"
        if not self.unit:
            return own
        return self.unit if _fits(self.name, self.unit) else f"{own} in {self.unit}"

    @property
    def names(self) -> frozenset[str]:
        """All names that a declaration may use for this process.

        A name that looks like a unit is left out. Earlier versions told the name without quotes.
        """
        name = self.name if _PROGRAM.fullmatch(self.name) else ""
        before = f"process {self.name} ({self.user})"
        within = f"{before} in {self.unit}" if self.unit else ""
        return frozenset(filter(None, (self.unit, name, before, within, self.text)))


def unit_and_container(text: str, outer: str = "") -> tuple[str, str]:
    """Return the service and the container of a process, from the text of /proc/PID/cgroup, see cgroups(7).

    Only the first service or container in a path counts, and nothing below the scope of a session. There, a
    user or the systemd of a container may choose the names. Only the paths of systemd and of cgroup version 2
    count, because the path of another controller may end with an outer container.

    Args:
        text: the text of the process.
        outer: the text of process 1. If the host itself is a container, each path begins with this
            container's groups.
    """
    unit, above = "", _paths(outer)
    for controllers, path in _paths(text).items():
        start = above.get(controllers, "").removesuffix("/init.scope")
        for part in (f"{path}/".removeprefix(f"{start}/")).split("/"):
            if found := _CONTAINER.fullmatch(part):
                return "", found[1]
            foreign = _FOREIGN.fullmatch(part)
            if not foreign and (part.endswith(".scope") or part.startswith("lxc.")):
                break
            if foreign or _SERVICE.fullmatch(part):
                unit = unit or (f"container {foreign[1]}" if foreign else part)
                break
    return unit, ""


def _paths(text: str) -> dict[str, str]:
    """Return the paths of systemd and of cgroup version 2, by the controllers."""
    fields = [line.split(":", 2) for line in text.splitlines() if line.count(":") > 1]
    return {controllers: path for _, controllers, path in fields if controllers in ("", "name=systemd")}


def holders(proc: Path, inodes: Collection[int]) -> dict[int, list[Process]]:
    """Return the processes that have each of the sockets open, by the socket's inode.

    An inode without processes is the kernel's own. An inode is missing if its owner is unknown, because not
    all open files were read.

    Root's own processes come first, then the accounts by number, then the uids without an account, then the
    containers. Processes that come after the last socket has its holder are not read. Each account has a
    limit, so one account with many open files does not hide the owner of another account's socket.
    """
    found: dict[int, list[Process]] = {inode: [] for inode in inodes}
    left, is_cut = MOST_OF_ACCOUNTS, False
    for account, pids in sorted(_accounts(proc).items()) if found else ():
        # systemd holds sockets for services. So the service's own process still has to be found.
        if all(any(process.pid != 1 for process in processes) for processes in found.values()):
            return found
        share = MOST_OF_AN_ACCOUNT
        for pid in pids:
            most = None if account == _ROOT else min(MOST_OF_A_PROCESS, share, left)
            number, held = _held(f"{proc}/{pid}/fd", most)
            if most is not None:
                is_cut = is_cut or number == most
                share, left = share - number, left - number
            held &= found.keys()
            process = _process(proc, pid) if held else None
            if process is not None:
                for inode in held:
                    found[inode].append(process)
    return {inode: processes for inode, processes in found.items() if processes or not is_cut}


def main_holder(processes: Iterable[Process]) -> Process | None:
    """Return the process that represents all processes of a socket: their parent.

    systemd itself (process 1) counts only if no other process has the socket open.
    """
    known = sorted(processes, key=lambda process: process.pid)
    known = [process for process in known if process.pid != 1] or known
    pids = {process.pid for process in known}
    return next((process for process in known if process.parent not in pids), known[0] if known else None)


def activated(machine: Machine) -> dict[int, str]:
    """Return the services that systemd starts at a first connection, by the port on which systemd listens."""
    done = machine.run(
        ["systemctl", "list-sockets", "--all", "--no-legend", "--no-pager", "--plain"], timeout=_TIMEOUT
    )
    found = {}
    for line in done.out.splitlines():
        words = line.split()
        port = words[0].rpartition(":")[2] if words else ""
        if len(words) > 2 and port.isdecimal():  # noqa: PLR2004 - the address, the socket unit, the service
            found[int(port)] = words[-1]
    return found


def _accounts(proc: Path) -> dict[tuple[str, int], list[int]]:
    """Return the ids of all processes, by container and uid. The container is "" for most processes.

    All processes of a container count as one account, because root of a container may take any uid. All uids
    without an account count as one, too, because a user may have 65,536 of them, see subuid(5). A program
    with the setuid bit counts for the user who started it, because it has that user's open files.
    """
    outer, known = _groups(proc / "1"), {account.pw_uid for account in pwd.getpwall()}
    found: dict[tuple[str, int], list[int]] = {}
    for pid in sorted(int(entry.name) for entry in os.scandir(proc) if entry.name.isdecimal()):
        folder = proc / str(pid)
        try:
            uid = folder.stat().st_uid
            started_by = None if uid else _REAL.search(_text(folder / "status"))
        except OSError:
            continue  # the process has ended
        unit, container = unit_and_container(_groups(folder), outer)
        container = container or (unit if unit.startswith("container ") else "")
        uid = int(started_by[1]) if started_by else uid
        account = (container, 0) if container else ("", uid if uid in known else _NO_ACCOUNT)
        found.setdefault(account, []).append(pid)
    return found


def _held(folder: str, most: int | None) -> tuple[int, set[int]]:
    """Return how many open files of a process were read, at most `most`, and the sockets among them."""
    number = 0
    held: set[int] = set()
    with contextlib.suppress(OSError), os.scandir(folder) as entries:  # or the process has ended
        for entry in itertools.islice(entries, most):
            number += 1
            with contextlib.suppress(OSError):  # or the process has closed this file
                match = _SOCKET.fullmatch(os.readlink(entry.path))  # noqa: PTH115 - the fastest way
                if match:
                    held.add(int(match[1]))
    return number, held


def _process(proc: Path, pid: int) -> Process | None:
    folder = proc / str(pid)
    try:
        name, stat = _text(folder / "comm").strip(), _text(folder / "stat")
        uid = folder.stat().st_uid
    except OSError:
        return None  # the process has ended
    unit, container = unit_and_container(_groups(folder), _groups(proc / "1"))
    # A process's name may contain spaces and brackets, so the fields begin after the last bracket.
    parent = int(stat.rpartition(")")[2].split()[1])
    return Process(pid, parent, _plain(name), uid, _user(uid), unit, container)


def _groups(folder: Path) -> str:
    try:
        return _text(folder / "cgroup")
    except OSError:
        return ""


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LONGEST).decode("utf-8", "replace")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _plain(name: str) -> str:
    """Return a process's name without line breaks and control characters, as it becomes part of one line."""
    return "".join(char if char.isprintable() else "?" for char in name)


def _fits(name: str, unit: str) -> bool:
    """Whether a program is expected in a service of this name, as sshd is expected in ssh.service."""
    stem = unit.removesuffix(".service").partition("@")[0]
    return not unit.endswith(".service") or stem[:_SHORT] in name or name in stem


def text_of(
    processes: list[Process] | None, port: int, containers: Mapping[str, str], by_systemd: Mapping[int, str]
) -> tuple[str, frozenset[str]]:
    """Return the text for people about a socket's owner, and all names that a declaration may use for it.

    Args:
        processes: the processes that have the socket open. None if the owner is unknown.
        port: the socket's port.
        containers: the text for each container, by id.
        by_systemd: the services for which systemd listens, by port.
    """
    if processes is None:
        return UNKNOWN, frozenset()
    process = main_holder(processes)
    if process is None:
        return KERNEL, frozenset({KERNEL})
    # On a host that is itself a container, a process started from outside is in the outer container's group.
    if process.container in containers:
        text = containers[process.container]
        return text, frozenset({text, text.partition(" (")[0]})
    if process.pid == 1 and port in by_systemd:
        return by_systemd[port], frozenset({by_systemd[port]})
    return process.text, process.names
