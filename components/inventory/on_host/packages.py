"""Reads packages that somebody installed by hand or holds back, or that come from an undeclared source."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from portcullis.components.inventory.on_host import programs
from portcullis.components.inventory.on_host.look import Entry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from portcullis.components.inventory.on_host.dpkg import Package
    from portcullis.components.inventory.on_host.look import Found, Look

_STATES = "var/lib/apt/extended_states"
_AUTOMATIC = re.compile(r"^Package: (\S+)\n(?:.+\n)*?Auto-Installed: 1$", re.MULTILINE)


def read(look: Look) -> Found:
    """Return packages that are undeclared, held, or from an undeclared source."""
    states = ""
    with contextlib.suppress(FileNotFoundError):
        states = (look.machine.root / _STATES).read_text("utf-8", "replace")
    found = by_hand(look.dpkg.packages, automatic(states), look.claims.packages)
    told = programs.result(look.machine).get("sources")
    for name, text in from_elsewhere(told if isinstance(told, dict) else {}, look.spec.sources).items():
        if name in look.dpkg.packages and look.dpkg.packages[name].installed:
            package = look.dpkg.packages[name]
            found[name] = _entry(package, [*([found[name].text] if name in found else []), text], purge=True)
    return {"packages": found}


def from_elsewhere(sources: Mapping[str, Sequence[str]], declared: Collection[str]) -> dict[str, str]:
    """Return the packages that no declared source provides, with their sources."""
    known = {uri.rstrip("/") for uri in declared}
    return {
        name: f"from {', '.join(map(str, uris))}"
        for name, uris in sources.items()
        if not known.intersection(str(uri).rstrip("/") for uri in uris)
    }


def automatic(text: str) -> frozenset[str]:
    """Return the packages that were installed as dependencies: apt-mark(8)."""
    return frozenset(_AUTOMATIC.findall(text))


def by_hand(
    packages: Mapping[str, Package], came_along: Collection[str], declared: Collection[str]
) -> dict[str, Entry]:
    """Return undeclared packages that were installed by hand, and held packages.

    The text contains no version, so that an upgrade is no difference.
    """
    found: dict[str, Entry] = {}
    for name, package in packages.items():
        words = []
        is_by_hand = package.installed and name not in came_along and name not in declared
        if is_by_hand:
            words.append("installed by hand")
        if package.held:
            words.append("held at its version: it gets no security updates")
        if words:
            found[name] = _entry(package, words, purge=is_by_hand)
    return found


def _entry(package: Package, words: Sequence[str], *, purge: bool) -> Entry:
    """Build the entry of a package, which is removed or only no longer held."""
    unhold = [("unhold", package.name)] if package.held else []
    return Entry(
        ", ".join(words),
        fixes=(*unhold, *([("purge", package.name)] if purge else [])),
        state={"held": "held" if package.held else ""},
    )
