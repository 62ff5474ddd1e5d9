"""Finds the owner of a socket: the systemd unit, the container, or the process with its user."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, List, Tuple

from portcullis.agent.quotes import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from portcullis.agent.machine import Machine

KERNEL = "no process (the kernel's own, as WireGuard)"
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


def unit_and_container(text: str, outer: str = "") -> Tuple[str, str]:
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


def _paths(text: str) -> Dict[str, str]:
    """Return the paths of systemd and of cgroup version 2, by the controllers."""
    fields = [line.split(":", 2) for line in text.splitlines() if line.count(":") > 1]
    return {controllers: path for _, controllers, path in fields if controllers in ("", "name=systemd")}


def holders(proc: Path, inodes: Collection[int]) -> Dict[int, List[Process]]:
    """Return the processes that have each of the sockets open, by the socket's inode."""
    found: Dict[int, List[Process]] = {}
    if not inodes:
        return found
    wanted, outer = set(inodes), _groups(proc / "1")
    for entry in os.scandir(proc):
        if not entry.name.isdecimal():
            continue
        held = wanted & _held(f"{entry.path}/fd")
        process = _process(proc, int(entry.name), outer) if held else None
        if process is not None:
            for inode in held:
                found.setdefault(inode, []).append(process)
    return found


def main_holder(processes: Iterable[Process]) -> Process | None:
    """Return the process that represents all processes of a socket: their parent.

    systemd itself (process 1) counts only if no other process has the socket open.
    """
    known = sorted(processes, key=lambda process: process.pid)
    known = [process for process in known if process.pid != 1] or known
    pids = {process.pid for process in known}
    return next((process for process in known if process.parent not in pids), known[0] if known else None)


def activated(machine: Machine) -> Dict[int, str]:
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


def _held(folder: str) -> set[int]:
    held = set()
    with contextlib.suppress(OSError):  # the process has ended
        for name in os.listdir(folder):  # noqa: PTH208 - the fastest way, for thousands of folders
            with contextlib.suppress(OSError):
                match = _SOCKET.fullmatch(os.readlink(f"{folder}/{name}"))  # noqa: PTH115 - as above
                if match:
                    held.add(int(match[1]))
    return held


def _process(proc: Path, pid: int, outer: str) -> Process | None:
    folder = proc / str(pid)
    try:
        name = (folder / "comm").read_text("utf-8", "replace").strip()
        stat = (folder / "stat").read_text("utf-8", "replace")
        uid = folder.stat().st_uid
    except OSError:
        return None  # the process has ended
    unit, container = unit_and_container(_groups(folder), outer)
    # A process's name may contain spaces and brackets, so the fields begin after the last bracket.
    parent = int(stat.rpartition(")")[2].split()[1])
    return Process(pid, parent, _plain(name), uid, _user(uid), unit, container)


def _groups(folder: Path) -> str:
    try:
        return (folder / "cgroup").read_text("utf-8", "replace")
    except OSError:
        return ""


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
    processes: List[Process], port: int, containers: Mapping[str, str], by_systemd: Mapping[int, str]
) -> Tuple[str, frozenset[str]]:
    """Return the text for people about a socket's owner, and all names that a declaration may use for it.

    Args:
        processes: the processes that have the socket open.
        port: the socket's port.
        containers: the text for each container, by id.
        by_systemd: the services for which systemd listens, by port.
    """
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
