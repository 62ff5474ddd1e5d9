"""What runs now on this machine: one JSON file under /run, changed under one lock.

A *lease* keeps the network up without a host: a test session holds one and its hosts name it, so that what a
killed session left is found by the next one.
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
    """Another command changes the lab now."""


@dataclass(frozen=True, slots=True)
class HostRecord:
    """One host: what finds it again and what takes it down."""

    name: str
    owner: str  # the checkout that raised it
    container: str
    number: int  # the last part of its addresses
    suite: str
    lease: Process | None = None


@dataclass(slots=True)
class State:
    """Everything the lab has on this machine now."""

    cache: str = ""  # the cache it was raised from; another cache has other keys and images
    docker: Process | None = None  # only a dockerd that the lab started
    cgroup: str = ""  # where that dockerd has its containers
    registry: Process | None = None
    private_registry: Process | None = None
    gateway: Process | None = None
    acme: dict[str, list[Process]] = field(default_factory=dict)  # an authority and its DNS, by name
    hosts: dict[str, HostRecord] = field(default_factory=dict)
    leases: list[Process] = field(default_factory=list)

    def empty(self) -> bool:
        """Tell whether nothing runs that has to be found again."""
        processes = (self.docker, self.registry, self.private_registry, self.gateway)
        return not (self.hosts or self.leases or self.acme or any(processes))

    def dump(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), indent=1)


def _process(data: dict[str, int] | None) -> Process | None:
    return Process(**data) if data else None


def load() -> State:
    """Read the state; an absent file is a lab that is down."""
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
    )


def save(state: State) -> None:
    """Write the state in one step; also as soon as something runs, since we may be killed at any time."""
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
            "the lab needs root, for network namespaces and containers", "run it as root or with sudo"
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
    """Return the lock file, locked. It goes with its folder, so the one that was waited for may be gone."""
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
                raise Busy(f"another lab command has held {LOCK} for {timeout:.0f} s", "try again") from None
            time.sleep(0.1)
        lock.close()
