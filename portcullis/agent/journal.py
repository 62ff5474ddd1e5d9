"""Reads the last lines of a unit from systemd's journal, for error messages."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from portcullis.agent.machine import Machine

_TIMEOUT = 30.0


# Lines that systemd itself logs about a unit. These lines fit every failure, so the program's own lines come
# first.
_SYSTEMD = re.compile(r"(?:Reload|Start|Stopp?|Restart)(?:ing|ed)? |Reload failed|Failed to |[\w@.-]+\.\w+: ")


def last_lines(machine: Machine, unit: str, count: int = 20, *, since: float) -> str:
    """Return the last lines that a unit logged, or "" if there are none.

    Lines that systemd itself logged come after the lines of the unit's program. The function first makes
    journald write all its buffered lines. A unit's last lines reach the journal a moment after systemd has
    reported the unit's end.

    Args:
        machine: the host.
        unit: the full name of the unit.
        count: how many lines at most.
        since: a time in seconds since 1970. Earlier lines are left out, because they belong to an earlier
            attempt.

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
