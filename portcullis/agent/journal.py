"""What systemd's journal has of a unit, for an error that is told to people."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from portcullis.agent.machine import Machine

_TIMEOUT = 30.0


# What systemd itself says of a unit's job: true of every failure, so it comes after the program's own words.
_SYSTEMD = re.compile(r"(?:Reload|Start|Stopp?|Restart)(?:ing|ed)? |Reload failed|Failed to |[\w@.-]+\.\w+: ")


def last_lines(machine: Machine, unit: str, count: int = 20, *, since: float) -> str:
    """The last lines that a unit logged, what its program said first; "" for none.

    journald is told to write down what it has first: what a unit says just before it ends stands in the
    journal a moment after systemd has told of the end.

    Args:
        machine: the host.
        unit: full name.
        count: how many at most.
        since: seconds since 1970; what was logged before is of another attempt.

    Raises:
        AgentError: ``timeout``.
    """
    with contextlib.suppress(AgentError):
        machine.run(["journalctl", "--sync"], timeout=_TIMEOUT)
    argv = [
        "journalctl",
        "--no-pager",
        "-q",
        "-n",
        str(count),
        "-o",
        "cat",
        f"--since=@{since:.6f}",
        "-u",
        unit,
    ]
    lines = machine.run(argv, timeout=_TIMEOUT).out.strip().splitlines()
    return "\n".join(sorted(lines, key=lambda line: _SYSTEMD.match(line) is not None))
