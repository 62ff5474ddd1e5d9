"""What the readers of the inventory get, and what they return."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict

from portcullis.components.inventory.on_host import dpkg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.agent.claims import Claimed
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record
    from portcullis.components.inventory.facts import InventorySpec
    from portcullis.components.inventory.on_host.dpkg import Dpkg

LONGEST = 400
"""Characters of a text or a key that travel."""


@dataclass(frozen=True)
class Look:
    """One reading of the host.

    Attributes:
        machine: where things are; `machine.root` is the folder that all paths are below.
        claims: what is somebody's own, over all records.
        spec: what is declared and in no record.
        records: all records of this host, of every stack.
    """

    machine: Machine
    claims: Claimed
    spec: InventorySpec
    records: Sequence[Record] = ()

    @functools.cached_property
    def dpkg(self) -> Dpkg:
        """What dpkg knows, read once. Raises OSError."""
        return dpkg.read(self.machine)


@dataclass(frozen=True)
class Entry:
    """One thing that is there.

    Attributes:
        text: what people read, and what the state keeps: no time, no content, no digest. The same host gives
            the same text.
        mark: a private digest of what the text leaves out, such as a file's content. It stays on the host.
        changed: when it was changed last, in seconds since 1970; None where nothing tells.
        passing: it comes and goes by itself, so that one of the baseline may be gone.
    """

    text: str
    mark: str = ""
    changed: float | None = None
    passing: bool = False


Found = Dict[str, Dict[str, Entry]]
"""Entries by the name of their map, see `MAPS`, and by key."""


def unreadable(error: Exception) -> Entry:
    """Return the entry for something that cannot be read."""
    reason = getattr(error, "strerror", None) or getattr(error, "message", None) or type(error).__name__
    return Entry(f"cannot be read: {reason}")


def printable(text: str, limit: int = LONGEST) -> str:
    """Return a text without control characters or broken bytes, and no longer than `limit`."""
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"
