"""Hosts to which the program with the usual settings is deployed.

The first test file of a session deploys a host, and the other files copy this host.
"""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lab import machine, snapshots, state
from lab.pytest_lab import Host
from lab.shell import Progress
from tests.e2e.stack.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.processes import Process


def copy(folder: Path, shared: Path, lease: Process) -> Program:
    """Return a deployed program in `folder`. Its host has booted from a copied disk, and serves its page.

    `shared` is a folder that all workers of the session use.
    """
    with _alone(shared):
        note = shared / "deployed"
        snapshot = note.read_text() if note.exists() else ""
        if snapshot not in state.load().hosts:  # there is no snapshot, or the worker that made it has ended
            snapshot = _deploy(shared, lease)
            note.write_text(snapshot)
        record = snapshots.copy(snapshot, lease=lease)
    engine, _ = machine.find(record.name)
    made = Program.copied(folder, Host(engine, record), shared / snapshot)
    made.wait_for_page("Hello")
    return made


def _deploy(shared: Path, lease: Process) -> str:
    record = machine.up(None, lease=lease, progress=Progress())
    engine, _ = machine.find(record.name)
    made = Program(shared / record.name, Host(engine, record))
    try:
        made.up()
        made.preview("--expect-no-changes")
    finally:
        made.close()
    snapshots.keep(record.name)
    return record.name


@contextmanager
def _alone(shared: Path) -> Iterator[None]:
    with (shared / "deployed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
