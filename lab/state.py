"""Reads and writes the lab's live state on this machine. It is one JSON file under /run, with one lock.

A *lease* keeps the network up without a host. A test session has a lease, and the record of each of its hosts
contains that lease. So the next session finds the hosts of a killed session.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, Any

from lab.errors import LabError
from lab.places import LIVE, LOCK, STATE, made
from lab.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator


class Busy(LabError):
    """Another command is changing the lab now."""


@dataclass(frozen=True, slots=True)
class HostRecord:
    """One host: the data to find the host again and to remove it."""

    name: str
    owner: str  # the checkout that created it
    container: str
    number: int  # the last part of the host's addresses
    suite: str  # the Debian suite; it ends with -cloud if the host boots with cloud-init
    lease: Process | None = None


@dataclass(slots=True)
class State:
    """Everything that the lab has on this machine now."""

    cache: str = ""  # the cache that the lab uses; another cache has other keys and images
    docker: Process | None = None  # set only for a dockerd that the lab started
    cgroup: str = ""  # the control group of that dockerd's containers
    registry: Process | None = None
    private_registry: Process | None = None
    gateway: Process | None = None
    acme: dict[str, list[Process]] = field(default_factory=dict)  # an authority and its DNS server, by name
    hosts: dict[str, HostRecord] = field(default_factory=dict)
    leases: list[Process] = field(default_factory=list)
    named: int = 0  # how many hosts got their name from the lab

    def empty(self) -> bool:
        """Tell whether the lab has nothing left on this machine."""
        processes = (self.docker, self.registry, self.private_registry, self.gateway)
        return not (self.hosts or self.leases or self.acme or any(processes))

    def dump(self) -> str:
        """Return the state as JSON."""
        return json.dumps(asdict(self), indent=1)


def _process(data: dict[str, int] | None) -> Process | None:
    return Process(**data) if data else None


def load() -> State:
    """Read the state. Without the file, the lab is down."""
    try:
        data: dict[str, Any] = json.loads(STATE.read_text())
    except FileNotFoundError:
        return State()
    hosts = {
        name: HostRecord(**{**host, "lease": _process(host["lease"])}) for name, host in data["hosts"].items()
    }
    return State(
        cache=data["cache"],
        docker=_process(data["docker"]),
        cgroup=data["cgroup"],
        registry=_process(data["registry"]),
        private_registry=_process(data.get("private_registry")),
        gateway=_process(data["gateway"]),
        acme={name: [Process(**one) for one in both] for name, both in data.get("acme", {}).items()},
        hosts=hosts,
        leases=[Process(**lease) for lease in data["leases"]],
        named=data.get("named", 0),
    )


def save(state: State) -> None:
    """Write the state in one step.

    The caller saves the state as soon as a process runs, because this program may be killed at any time.
    """
    temporary = STATE.with_suffix(".new")
    temporary.write_text(state.dump())
    temporary.rename(STATE)


@contextlib.contextmanager
def locked(timeout: float = 1200) -> Iterator[State]:
    """Hold the lab's lock and give its state, which is saved at the end, also after an error.

    Saved after an error too, because what was started before it must still be found by ``down``.

    Raises:
        Busy: somebody else held the lock for ``timeout`` seconds.
    """
    if os.geteuid() != 0:
        raise LabError(
            "the lab must run as root, because it makes network namespaces and containers",
            "run lab.py with sudo",
        )
    with _lock(timeout):
        state = load()
        try:
            yield state
        finally:
            if state.empty():
                shutil.rmtree(LIVE)
            else:
                save(state)


def _lock(timeout: float) -> IO[str]:
    """Open the lock file, lock it and return it.

    While we wait for the lock, another command may remove the file with its folder. In that case, open the
    file again.
    """
    deadline = time.monotonic() + timeout
    while True:
        made(LIVE, 0o700)
        lock = LOCK.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if LOCK.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                return lock
        except FileNotFoundError:
            pass
        except BlockingIOError:
            if time.monotonic() > deadline:
                lock.close()
                raise Busy(
                    f"another command of the lab has held the lock {LOCK} for {timeout:.0f} s",
                    "try again later",
                ) from None
            time.sleep(0.1)
        lock.close()
