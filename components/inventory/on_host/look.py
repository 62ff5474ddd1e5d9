"""The input and the output of the inventory's readers."""

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
"""The most characters of a text or a key that the program receives."""


@dataclass(frozen=True)
class Look:
    """One reading of the host.

    Attributes:
        machine: the host's paths. All of them are below `machine.root`.
        claims: what the resources of all records own.
        spec: what is declared but in no record.
        records: all records of this host, of every stack.
    """

    machine: Machine
    claims: Claimed
    spec: InventorySpec
    records: Sequence[Record] = ()

    @functools.cached_property
    def dpkg(self) -> Dpkg:
        """The records of dpkg, read once. Raises OSError."""
        return dpkg.read(self.machine)


@dataclass(frozen=True)
class Entry:
    """One thing on the host.

    Attributes:
        text: the text for people, which the state keeps too. It contains no time, content or digest, so an
            unchanged host always gives the same text.
        mark: a digest of what the text leaves out, such as a file's content. It never leaves the host.
        changed: the time of the last change, in seconds since 1970, or None if it is unknown.
        passing: the thing comes and goes by itself. If the baseline has it, it may be gone now.
    """

    text: str
    mark: str = ""
    changed: float | None = None
    passing: bool = False


Found = Dict[str, Dict[str, Entry]]
"""Entries by the name of their map (see `MAPS`) and by key."""


def unreadable(error: Exception) -> Entry:
    """Return the entry for something that cannot be read."""
    reason = getattr(error, "strerror", None) or getattr(error, "message", None) or type(error).__name__
    return Entry(f"cannot be read: {reason}")


def printable(text: str, limit: int = LONGEST) -> str:
    """Return a text without control characters and broken bytes, cut off after `limit` characters."""
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"
