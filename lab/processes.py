"""Processes that outlive the program that started them, identified by id *and* start time.

The id alone is not enough: the kernel may give it to another process later.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.places import LOGS, made

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the machine. ``started`` is field 22 of /proc/PID/stat: clock ticks since the boot."""

    pid: int
    started: int

    def alive(self) -> bool:
        """Tell whether the process still runs. A zombie does not count as running."""
        return _started(self.pid) == self.started

    def stop(self, patience: float = 20) -> None:
        """Ask the process to end. Kill it after ``patience`` seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self.alive():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            deadline = time.monotonic() + patience
            while self.alive() and time.monotonic() < deadline:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(self.pid, os.WNOHANG)
                time.sleep(0.05)


def this_process() -> Process:
    """Return our own process."""
    return of(os.getpid())


def of(pid: int) -> Process:
    """Return the process that has this id now."""
    return Process(pid, _started(pid) or 0)


def _started(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def running(argument: str) -> list[Process]:
    """Return the processes that have exactly this argument."""
    found: list[Process] = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if argument.encode() in command.read_bytes().split(b"\0"):
                found.append(of(int(command.parent.name)))
    return found


def start(name: str, argv: Sequence[str], env: dict[str, str] | None = None) -> Process:
    """Start ``argv`` in a session of its own. The command's output goes to the log of ``name``."""
    with (made(LOGS) / f"{name}.log").open("ab") as log:
        try:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=env,
                cwd="/",
            )
        except FileNotFoundError as error:
            raise LabError(f"the program {argv[0]} is not installed", "run `make setup`") from error
    pid = child.pid
    with warnings.catch_warnings():
        # The process must outlive this program. Python would warn about that, and pytest turns warnings into
        # errors.
        warnings.simplefilter("ignore", ResourceWarning)
        del child
    return of(pid)


def wait_until(what: str, ready: Callable[[], bool], timeout: float) -> None:
    """Poll until ``ready`` returns true.

    Raises:
        LabError: ``ready`` returned false for ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            raise LabError(
                f"{what} was not ready within {timeout:.0f} s", f"the logs of the lab are in {LOGS}"
            )
        time.sleep(0.05)


def wait_for(name: str, process: Process, answers: Callable[[], bool], timeout: float) -> None:
    """Poll until the process that ``start`` started as ``name`` answers.

    Raises:
        LabError: the process ended (the message has the last line of its log), or gave no answer in
            ``timeout`` seconds.
    """

    def answers_or_ended() -> bool:
        if answers():
            return True
        if not process.alive():
            lines = (LOGS / f"{name}.log").read_text(errors="replace").split("\n")
            raise LabError(
                f"the program {name} ended at once: {next((line for line in reversed(lines) if line), '')}"
            )
        return False

    wait_until(name, answers_or_ended, timeout)
