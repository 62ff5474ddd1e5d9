"""Runs ufw's commands one after the other, for all resources."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.agent.machine import Machine

ALONE = threading.RLock()
"""The lock for commands that belong together, because rules have numbers and two resources write them."""

_TIMEOUT = 120.0


def ufw(machine: Machine, argv: Sequence[str]) -> None:
    """Run a command of ufw, or of a tool that it needs. Raises `AgentError` (``ufw``)."""
    with ALONE:
        done = machine.run(argv, timeout=_TIMEOUT)
    if done.code:
        raise AgentError("ufw", f"`{' '.join(argv)}` failed", detail=done.text)
