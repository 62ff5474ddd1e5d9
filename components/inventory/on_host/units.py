"""Units of systemd that nobody declared: enabled, masked, running and transient ones, and drop-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portcullis.components.inventory.on_host.look import Found, Look


def read(look: Look) -> Found:
    """Return what is there."""
    del look
    return {}
