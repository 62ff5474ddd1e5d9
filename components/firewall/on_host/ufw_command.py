"""Running ufw: one command after the other, whichever resource asks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.agent.machine import Machine

ALONE = threading.RLock()
"""Held over commands that belong together: rules are numbered, and two resources write them."""

_TIMEOUT = 120.0


def ufw(machine: Machine, argv: Sequence[str]) -> None:
    """Run a command, ``ufw`` first or what else belongs to it. Raises `AgentError` (``ufw``)."""
    with ALONE:
        done = machine.run(argv, timeout=_TIMEOUT)
    if done.code:
        raise AgentError("ufw", f"`{' '.join(argv)}` failed", detail=done.text)
