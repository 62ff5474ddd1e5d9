"""What systemd's journal has of a unit, for an error that is told to people."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from portcullis.agent.errors import HostError

if TYPE_CHECKING:
    from portcullis.agent.machine import Machine

_TIMEOUT = 30.0


def last_lines(machine: Machine, unit: str, count: int = 20) -> str:
    """The last lines that a unit logged, "" for none. Raises `HostError` (``timeout``).

    journald is told to write down what it has first: what a unit says just before it ends stands in the
    journal a moment after systemd has told of the end.
    """
    with contextlib.suppress(HostError):
        machine.run(["journalctl", "--sync"], timeout=_TIMEOUT)
    argv = ["journalctl", "--no-pager", "-q", "-n", str(count), "-o", "cat", "-u", unit]
    return machine.run(argv, timeout=_TIMEOUT).out.strip()
