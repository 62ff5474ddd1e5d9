"""Turns the inventory's findings into lines of the report, each with the command that undoes the finding."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from portcullis.agent.quotes import quoted
from portcullis.components.inventory.facts import FORMER, NO_BASELINE, NOT_KEPT, acceptance
from portcullis.components.inventory.remedies import remedy
from portcullis.provider.changes import STAYS, Line, Section, Severity

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from portcullis.provider.changes import Change

_SECTIONS: Mapping[str, Section] = {
    "accounts": Section.ACCESS,
    "keys": Section.ACCESS,
    "files": Section.REST,
    "units": Section.REST,
    "programs": Section.ACCESS,
    "packages": Section.REST,
    "kernel": Section.FIREWALL,
    "docker": Section.SITES,
}
"""The section of the report for each map of the inventory."""

_ACCEPT = "accept "
"""If a key begins with this text, its entry says that an entry of `inventory.accept` has no effect."""


def lines(change: Change) -> list[Line]:
    """Return one line for each undeclared item of an `Inventory`. `up` deletes no undeclared item."""
    if change.op != "update":
        return [
            Line("inventory", "read from now on" if change.op == "create" else "no longer read", follows=True)
        ]
    accepted = change.goal.get("accepted") or {}
    newly = {key for key, _, goal in change.entries("accepted") if goal is not None}
    advice: Mapping[str, Any] = change.outputs.get("advice") or {}
    found = [
        _line(name, key, str(live), advice.get(name, {}).get(key, {}), at=(name, key))
        for name in _SECTIONS
        for key, live, _ in change.entries(name)
        if live is not None and not _is_settled(name, key, accepted, newly)
    ]
    found += [_acceptance(key, goal, at=("accepted", key)) for key, _, goal in change.entries("accepted")]
    return found or [Line("inventory", "follows other changes", follows=True)]


def _is_settled(name: str, key: str, accepted: Collection[str], newly: Collection[str]) -> bool:
    """Whether this `up` accepts the entry, or the settings have lost the acceptance that had no effect.

    An entry that was accepted before has changed since, or the agent would not report it.
    """
    without_effect = key.removeprefix(_ACCEPT)
    return without_effect not in accepted if key.startswith(_ACCEPT) else acceptance(name, key) in newly


def _acceptance(key: str, reason: str | None, *, at: tuple[str, ...]) -> Line:
    if reason is None:
        return Line(key, "no longer accepted", "up reports it again", at=at)
    return Line(key, f"accepted: {reason}", "up no longer reports it", at=at)


def subject(key: str) -> str:
    """Return a key of the inventory for people.

    An unusual path is quoted, because a user of the host may have chosen its words.
    """
    return quoted(key) if key.startswith("/") and shlex.quote(key) != key else key


def _line(name: str, key: str, text: str, advice: Mapping[str, Any], *, at: tuple[str, ...]) -> Line:
    if text in (NO_BASELINE, NOT_KEPT):
        what, _, _ = text.partition(":")
        return Line(key, what, "up records what is here", Severity.WRONG, at=at)
    if text in FORMER:
        # Nobody made this by hand, so the line is about no value that somebody changed.
        return Line(key, text, FORMER[text], Severity.WRONG, _SECTIONS[name], (key,), topic=key)
    way = remedy(name, advice.get("fixes") or ())
    severity = Severity.OPEN if advice.get("is_open") else Severity.WRONG
    # Other resources may have a line about the same item. Exposure reports a network, a container itself, and
    # the forward filter a unit that flushes the filter.
    topic = key if name == "docker" else f"unit {key}" if name == "units" else ""
    is_echo = topic.startswith("member ")
    return Line(
        subject(key),
        text,
        f"{STAYS}; {way}" if way else STAYS,
        Severity.COSMETIC if key.startswith(_ACCEPT) else severity,
        _SECTIONS[name],
        at,
        topic,
        echo=is_echo,
    )
