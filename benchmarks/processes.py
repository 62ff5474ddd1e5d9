"""Finds the child processes of a process."""

from __future__ import annotations

import subprocess


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    said = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(word) for word in said.stdout.split()]
