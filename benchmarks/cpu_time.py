"""Measures the CPU time of a command and its descendants: `python -m benchmarks.cpu_time COMMAND...`."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.measure import run, succeeded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def cpu_time(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> float:
    """Return the seconds of CPU time, user and system, of a command and all its descendants.

    Raises:
        BenchmarkError: the command failed.
    """
    measured = [sys.executable, "-m", "benchmarks.cpu_time", *argv]
    said = succeeded(run(measured, cwd=cwd, env=env), " ".join(argv))
    return float(said.splitlines()[-1])


def main() -> int:
    """Print the seconds as the last line; return the command's exit code."""
    # A plugin may outlive the engine. Without this wait, its time would not count.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    code = subprocess.call(sys.argv[1:])
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(used.ru_utime + used.ru_stime)
    return code


if __name__ == "__main__":
    sys.exit(main())
