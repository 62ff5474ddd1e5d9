"""Runs ufw's commands one after the other, for all resources."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.agent.machine import Machine

ALONE = threading.RLock()
"""The lock for a sequence of commands: commands name rules by number, and the commands of another resource
could change the numbers."""

_TIMEOUT = 120.0


def ufw(machine: Machine, argv: Sequence[str]) -> None:
    """Run a command of ufw, or of a tool that ufw needs. Raises `AgentError` with the code ``ufw``."""
    with ALONE:
        done = machine.run(argv, timeout=_TIMEOUT)
    if done.code:
        raise AgentError("ufw", f"the command `{' '.join(argv)}` failed", detail=done.text)
