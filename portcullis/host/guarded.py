"""Resources whose changes can cut us off: applied as confirmed commits, see docs/decisions."""

from __future__ import annotations

from portcullis.host.provider import HostProvider


class GuardedProvider(HostProvider):
    """A provider whose changes stay only after a fresh login from outside."""
