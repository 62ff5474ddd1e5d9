"""Tells which differences the settings accept. An acceptance is for an item as the `up` recorded it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portcullis.components.inventory.facts import ABSENT, MAPS, WORDS, acceptance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.agent.store import Record
    from portcullis.components.inventory.on_host.look import Found

from portcullis.components.inventory.on_host.look import Entry
from portcullis.components.nginx.on_host.served_containers import IS_SERVED

KEPT = "accepted"
"""The name of the accepted items in the record of the inventory."""
Kept = dict[str, list[str]]
"""The accepted items by their key in the settings: the reason, the text, and the mark of the item."""

_SERVED = f"{IS_SERVED}, "
_UNMARKED = ("docker", "programs")
"""Maps whose items had no marks in an older version. The next `up` records the marks."""


def of(record: Record | None) -> Kept:
    """Return the accepted items of a record."""
    found: Kept = record.extra.get(KEPT) or {} if record else {}
    return found


def kept(differing: Found, accept: Mapping[str, str], known: Kept) -> Kept:
    """Return the accepted items as they are now. An item with the same reason as before stays as it was.

    An item that is absent now has such a text, so that nothing else can take its place.
    """
    now = {
        acceptance(name, key): (name, _held(name, entry))
        for name, entries in differing.items()
        for key, entry in entries.items()
    }
    found = {}
    for key, reason in accept.items():
        name, held = now.get(key, ("", [ABSENT, ""]))
        before = known.get(key, [""])
        stays = before[0] == reason and not _lacks_mark(name, before[1:], held)
        found[key] = before if stays else [reason, *held]
    return found


def left(differing: Found, accept: Mapping[str, str], known: Kept) -> Found:
    """Return the differences that are not accepted, or that are not as they were accepted.

    Each key in `accept` that matches no difference becomes an entry, too.
    """
    unused = set(accept)
    told: Found = {name: {} for name in MAPS}
    for name, entries in differing.items():
        for key, entry in entries.items():
            own = acceptance(name, key)
            unused.discard(own)
            held = known.get(own, [])
            if own not in accept:
                told[name][key] = entry
            elif held[:1] == [accept[own]] and not _is_as(name, held[1:], entry):
                told[name][key] = replace(
                    entry, text=f"{entry.text}, changed since it was accepted ({held[1]})"
                )
    for key in sorted(unused):
        word = key.partition(" ")[0]
        name = next((name for name, start in WORDS.items() if start == word), "docker")
        told[name][f"accept {key}"] = Entry("has no effect: remove it from inventory.accept")
    return told


def _held(name: str, entry: Entry) -> list[str]:
    """Return what may not change of an accepted item.

    A container that is made anew has another mark, so its options count instead. Whether nginx needs it does
    not count. Of a folder with many files, only the folder counts.
    """
    if name == "docker":
        return [entry.text.removeprefix(_SERVED), entry.options]
    return [entry.folder, ""] if entry.folder else [entry.text, entry.mark]


def _is_as(name: str, before: list[str], entry: Entry) -> bool:
    held = _held(name, entry)
    return before == held or _lacks_mark(name, before, held)


def _lacks_mark(name: str, before: list[str], held: list[str]) -> bool:
    """Whether an older version accepted an item without the mark that it has now."""
    return name in _UNMARKED and [text.removeprefix(_SERVED) for text in before] == [held[0], ""]
