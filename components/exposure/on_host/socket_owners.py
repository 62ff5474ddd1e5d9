"""Who holds a socket: the systemd unit, the container, or the process and its user."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, List, Tuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from portcullis.agent.machine import Machine

KERNEL = "no process (the kernel's own, as WireGuard)"
_SOCKET = re.compile(r"socket:\[(\d+)\]")
# What Docker calls the group of a container, by systemd and by itself.
_CONTAINER = re.compile(r"(?:docker-)?([0-9a-f]{64})(?:\.scope)?")
_FOREIGN = re.compile(r"(?:libpod|cri-containerd|crio)-([0-9a-f]{12})[0-9a-f]{52}(?:\.scope)?")
# A user's own systemd, which services by any name can be put below without being root.
_USERS = re.compile(r"user@\d+\.service")
_DOCKER = "docker.service"
_PROGRAM = re.compile(r"[A-Za-z0-9_-]+")
_SHORT = 15  # characters that the kernel keeps of a process's name
_TIMEOUT = 30.0


@dataclass(frozen=True)
class Process:
    """One process. `unit` is the systemd service that it belongs to, `container` an id of 64 digits."""

    pid: int
    parent: int
    name: str
    uid: int
    user: str
    unit: str
    container: str

    @property
    def is_dockers(self) -> bool:
        """Whether Docker itself runs it: a name proves nothing, any process calls itself as it likes."""
        return self.uid == 0 and self.unit == _DOCKER

    @property
    def text(self) -> str:
        """What people read: the unit alone where the process is the unit's own kind of program."""
        own = f"process {self.name} ({self.user})"
        if not self.unit:
            return own
        return self.unit if _fits(self.name, self.unit) else f"{own} in {self.unit}"

    @property
    def names(self) -> frozenset[str]:
        """Everything that it may be called. A process that calls itself as units are called is none."""
        name = self.name if _PROGRAM.fullmatch(self.name) else ""
        return frozenset(filter(None, (self.unit, name, f"process {self.name} ({self.user})", self.text)))


def unit_and_container(text: str) -> Tuple[str, str]:
    """The service and the container of a process, out of /proc/PID/cgroup: cgroups(7).

    Below ``user@1000.service`` that user names everything, so nothing there is more than that service's.
    The last part of a path decides: a host that is itself a container has its own before. So do the paths of
    systemd and of version 2: those of single controllers may end with that container's.
    """
    unit = ""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2) if line.count(":") > 1 else ("", "", "")
        if controllers not in ("", "name=systemd"):
            continue
        parts = [part for part in path.split("/") if part]
        theirs = next((part for part in parts if _USERS.fullmatch(part)), "")
        found = _CONTAINER.fullmatch(parts[-1]) if parts and not theirs else None
        if found:
            return "", found[1]
        services = [theirs] if theirs else [part for part in parts if part.endswith(".service")]
        foreign = _FOREIGN.fullmatch(parts[-1]) if parts else None
        unit = unit or (f"container {foreign[1]}" if foreign else services[-1] if services else "")
    return unit, ""


def holders(proc: Path, inodes: Collection[int]) -> Dict[int, List[Process]]:
    """The processes that hold each of the sockets."""
    found: Dict[int, List[Process]] = {}
    if not inodes:
        return found
    wanted = set(inodes)
    for entry in os.scandir(proc):
        if not entry.name.isdecimal():
            continue
        held = wanted & _held(f"{entry.path}/fd")
        process = _process(proc, int(entry.name)) if held else None
        if process is not None:
            for inode in held:
                found.setdefault(inode, []).append(process)
    return found


def main_holder(processes: Iterable[Process]) -> Process | None:
    """The one that stands for all: not systemd, which only hands a socket over; the parent of the others."""
    known = sorted(processes, key=lambda process: process.pid)
    known = [process for process in known if process.pid != 1] or known
    pids = {process.pid for process in known}
    return next((process for process in known if process.parent not in pids), known[0] if known else None)


def activated(machine: Machine) -> Dict[int, str]:
    """The services that systemd listens for, by port."""
    done = machine.run(
        ["systemctl", "list-sockets", "--all", "--no-legend", "--no-pager", "--plain"], timeout=_TIMEOUT
    )
    found = {}
    for line in done.out.splitlines():
        words = line.split()
        port = words[0].rpartition(":")[2] if words else ""
        if len(words) > 2 and port.isdecimal():  # noqa: PLR2004 - what is listened on, its unit, the service
            found[int(port)] = words[-1]
    return found


def _held(folder: str) -> set[int]:
    held = set()
    with contextlib.suppress(OSError):  # it has ended
        for name in os.listdir(folder):  # noqa: PTH208 - thousands of them, by the fastest way
            with contextlib.suppress(OSError):
                match = _SOCKET.fullmatch(os.readlink(f"{folder}/{name}"))  # noqa: PTH115 - as above
                if match:
                    held.add(int(match[1]))
    return held


def _process(proc: Path, pid: int) -> Process | None:
    folder = proc / str(pid)
    try:
        name = (folder / "comm").read_text("utf-8", "replace").strip()
        stat = (folder / "stat").read_text("utf-8", "replace")
        uid = folder.stat().st_uid
    except OSError:
        return None  # it has ended
    try:
        groups = (folder / "cgroup").read_text("utf-8", "replace")
    except OSError:
        groups = ""
    unit, container = unit_and_container(groups)
    # A name may hold spaces and brackets: what counts stands behind the last one.
    parent = int(stat.rpartition(")")[2].split()[1])
    return Process(pid, parent, _plain(name), uid, _user(uid), unit, container)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _plain(name: str) -> str:
    """A process may call itself anything; a line of difference is one line."""
    return "".join(char if char.isprintable() else "?" for char in name)


def _fits(name: str, unit: str) -> bool:
    """Whether a service of this name would be expected to run such a program: sshd in ssh.service."""
    stem = unit.removesuffix(".service").partition("@")[0]
    return not unit.endswith(".service") or stem[:_SHORT] in name or name in stem


def text_of(
    processes: List[Process], port: int, containers: Mapping[str, str], by_systemd: Mapping[int, str]
) -> Tuple[str, frozenset[str]]:
    """What people read of a socket's owner, and everything else that it may be called.

    Args:
        processes: those that hold it.
        port: its port.
        containers: the text for each container, by id.
        by_systemd: the services that systemd listens for, by port.
    """
    process = main_holder(processes)
    if process is None:
        return KERNEL, frozenset({KERNEL})
    # On a host that is itself a container, what was started from outside has that container's group.
    if process.container in containers:
        text = containers[process.container]
        return text, frozenset({text, text.partition(" (")[0]})
    if process.pid == 1 and port in by_systemd:
        return by_systemd[port], frozenset({by_systemd[port]})
    return process.text, process.names
