"""The input and the output of the inventory's readers."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portcullis.components.inventory.on_host import dpkg, key_places

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portcullis.agent.claims import Claimed
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record
    from portcullis.components.inventory.facts import InventorySpec
    from portcullis.components.inventory.on_host.dpkg import Dpkg
    from portcullis.components.inventory.on_host.key_places import Places

LONGEST = 400
"""A text or a key that the agent sends has at most this number of characters."""
SYSCTL = "sysctl "
"""The key of an entry about a kernel setting begins with this text."""


@dataclass(frozen=True)
class Look:
    """One read of the host, with the data that the inventory's readers need.

    Attributes:
        machine: the host's paths. All paths are below `machine.root`.
        claims: the files, units and accounts that the resources of all records own.
        spec: the declared items that are in no record.
        records: all records of this host, of every stack.
    """

    machine: Machine
    claims: Claimed
    spec: InventorySpec
    records: Sequence[Record] = ()

    @functools.cached_property
    def dpkg(self) -> Dpkg:
        """The records of dpkg, which are read once. Raises OSError."""
        return dpkg.read(self.machine)

    @functools.cached_property
    def key_places(self) -> Places:
        """The files in which sshd looks for keys."""
        return key_places.places(self.machine)


Fix = tuple[str, ...]
"""The name of an action, and its operands, such as ("remove-file", "/etc/cron.d/evil")."""
Fixes = tuple[Fix, ...]


@dataclass(frozen=True)
class Entry:
    """An item of the inventory, such as a file or an account.

    Attributes:
        text: the text for people, which the state keeps too. The text contains no time, content or digest, so
            an unchanged host always has the same text.
        mark: a digest of facts that the text leaves out, such as a file's content. The digest never leaves
            the host.
        changed: the time of the last change, in seconds since 1970, or None if it is unknown.
        passing: whether the item comes and goes by itself. If such an item of the baseline is gone, that is
            no difference.
        is_open: whether the item lets somebody in, or gives somebody rights.
        fixes: the fixes that undo the item, in their order, for the module `remedies`.
        owner: the account other than root to which the item belongs. It can make many of them, so a preview
            shows fewer.
        options: for a container, a digest of what it was made from, without what each new container has anew.
            The digest never leaves the host.
        folder: for a folder with many files, the text about the folder itself.
        state: the values by which a changed item of the baseline is restored, such as its mode. None if an
            older version recorded the item without them.
    """

    text: str
    mark: str = ""
    changed: float | None = None
    passing: bool = False
    is_open: bool = False
    fixes: Fixes = ()
    owner: str = ""
    options: str = ""
    folder: str = ""
    state: Mapping[str, str] | None = field(default_factory=dict)


Found = dict[str, dict[str, Entry]]
"""Entries by the name of their map (see `MAPS`) and by key."""


def unreadable(error: Exception) -> Entry:
    """Return the entry for an item that cannot be read."""
    reason = getattr(error, "strerror", None) or getattr(error, "message", None) or type(error).__name__
    return Entry(f"cannot be read: {reason}")


def printable(text: str, limit: int = LONGEST) -> str:
    """Return a text without control characters and broken bytes, cut off after `limit` characters."""
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"
