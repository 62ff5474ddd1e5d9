"""Finds nginx's worker processes in /proc: those that take requests and those that are shutting down."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portcullis.agent.machine import Machine

# nginx shows these titles as the first argument of its workers (ngx_worker_process_cycle).
_WORKER = b"nginx: worker process"
_LEAVING = b"nginx: worker process is shutting down"
_SHOW_TIMEOUT = 30.0


@dataclass(frozen=True)
class Worker:
    """One worker: its process id, whether it has stopped taking requests, and its age in seconds."""

    pid: int
    leaving: bool
    age: float


def workers(proc: Path, main: str) -> Iterator[Worker]:
    """Yield the workers of the main process whose process id is `main`.

    Workers of another nginx, such as one in a container, are left out.
    """
    for folder in proc.glob("[0-9]*"):
        try:
            # proc_pid_stat(5). The process name before these fields may contain spaces and brackets.
            fields = (folder / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
            if fields[1] != main:
                continue
            # A user's process can have a command line as long as its memory, or one whose reading never ends.
            # So only children of nginx are read, and only the first bytes.
            with (folder / "cmdline").open("rb", buffering=0) as file:
                title = file.read(len(_LEAVING))
        except OSError:
            continue  # the process has just ended
        if not title.startswith(_WORKER):
            continue
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - started
        yield Worker(int(folder.name), title.startswith(_LEAVING), age)


def serving(machine: Machine, service: str) -> set[int]:
    """Return the process ids of a unit's workers that take requests."""
    found = workers(machine.proc, main_process(machine, service))
    return {worker.pid for worker in found if not worker.leaving}


def main_process(machine: Machine, service: str) -> str:
    """Return the process id of a unit's main process, or ``0`` while the unit has no process."""
    argv = ["systemctl", "show", "--property=MainPID", "--value", "--", service]
    return machine.run(argv, timeout=_SHOW_TIMEOUT).out.strip()
