"""Turns the inventory's findings into lines of the report, each with the command that undoes the finding."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.components.inventory.facts import FORMER, NO_BASELINE, acceptance
from portcullis.components.inventory.remedies import remedy
from portcullis.provider.changes import STAYS, Line, Section, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

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

_OPENS: Mapping[str, str] = {
    "accounts": r"(?!linger )",
    "keys": r"",
    # Files that run by themselves or redirect something, and files that other accounts may change.
    "files": r"/etc/(?:cron|profile|bash|environment|ld\.so|sudoers|pam\.d|ssh/|systemd/|udev/|apt/|rc\.local"
    r"|init\.d|nginx/|hosts\b|modules|modprobe|alternatives/|shadow|gshadow)|/var/spool/(?:cron|at)"
    r"|/(?:root|home/[^/]+)/\.|/usr/(?:local/|s?bin/|lib/)|/run/systemd/"
    r"|.*\n\w+ \d(?:\d[2367]\d|\d\d[2367])",
    "units": r".*\n.*(?:unit file|drop-in|root runs it|made by a command|no package has|enabled for)",
    "programs": r"/",
    "packages": r"(?!)",
    "kernel": r".*(?:forwarding|route_localnet|proxy_arp|core_pattern|modprobe)\n"
    r"|.*\n.*(?:passes all firewalls|by a router)",
    "docker": r"swarm|plugin"
    r"|.*\n.*(?:privileged|the host's|Docker's socket|publishes|passes all firewalls|capabilities "
    r"|without \w|devices /|the (?:network|processes|shared memory) of"
    r"|mounts /(?:(?:etc|root|boot|dev|proc|sys|usr|lib|bin|sbin|home|var|opt)\b\S*)? at)",
}
"""For each map of the inventory, a pattern of the entries that let somebody in or give somebody rights."""

_ACCEPT = "accept "
"""If a key begins with this text, its entry says that an entry of `inventory.accept` has no effect."""

_GONE = ("gone; ", "is missing")
"""The text about a missing item begins with one of these. A missing item breaks programs, but lets nobody
in."""

_NOTES = re.compile(r"reading |more$")
"""Keys of entries about the inventory itself and not about an item on the host."""


def lines(change: Change) -> list[Line]:
    """Return one line for each undeclared item of an `Inventory`. `up` deletes no undeclared item."""
    if change.op != "update":
        return [
            Line("inventory", "read from now on" if change.op == "create" else "no longer read", follows=True)
        ]
    accepted = change.goal.get("accepted") or {}
    found = [
        _line(name, key, str(live), at=(name, key))
        for name in _SECTIONS
        for key, live, _ in change.entries(name)
        if live is not None and not _is_settled(name, key, accepted)
    ]
    found += [_acceptance(key, goal, at=("accepted", key)) for key, _, goal in change.entries("accepted")]
    return found or [Line("inventory", "follows other changes", follows=True)]


def _is_settled(name: str, key: str, accepted: Mapping[str, str]) -> bool:
    """Whether the new settings accept the entry, or no longer contain the acceptance that had no effect."""
    without_effect = key.removeprefix(_ACCEPT)
    return without_effect not in accepted if key.startswith(_ACCEPT) else acceptance(name, key) in accepted


def _acceptance(key: str, reason: str | None, *, at: tuple[str, ...]) -> Line:
    if reason is None:
        return Line(key, "no longer accepted", "up reports it again", at=at)
    return Line(key, f"accepted: {reason}", "up no longer reports it", at=at)


def _line(name: str, key: str, text: str, *, at: tuple[str, ...]) -> Line:
    if text == NO_BASELINE:
        what, _, _ = text.partition(":")
        return Line(key, what, "up records what is here", Severity.WRONG, at=at)
    if text in FORMER:
        # Nobody made this by hand, so the line is about no value that somebody changed.
        return Line(key, text, FORMER[text], Severity.WRONG, _SECTIONS[name], (key,), topic=key)
    way = remedy(name, key, text)
    # Other resources may have a line about the same item. Exposure reports a network, a container itself, and
    # the forward filter a unit that flushes the filter.
    topic = key if name == "docker" else f"unit {key}" if name == "units" else ""
    is_echo = topic.startswith("member ")
    return Line(
        key,
        text,
        f"{STAYS}; {way}" if way else STAYS,
        _severity(name, key, text),
        _SECTIONS[name],
        at,
        topic,
        echo=is_echo,
    )


def _severity(name: str, key: str, text: str) -> Severity:
    if key.startswith(_ACCEPT):
        return Severity.COSMETIC
    if _NOTES.match(key) or text.startswith(_GONE):
        return Severity.WRONG
    return Severity.OPEN if re.match(_OPENS[name], f"{key}\n{text}") else Severity.WRONG
