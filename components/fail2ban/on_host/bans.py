"""Who is banned: by fail2ban's database, and by the packet filter."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from portcullis.agent.machine import Machine

_RULES = ("nft", "-j", "list", "table", "inet", "f2b-table")
_TIMEOUT = 30.0


def remembered(path: Path, jails: list[str]) -> dict[str, list[str]]:
    """Who would be banned again as soon as a jail starts: bans outlive a restart in fail2ban's database.

    A database that cannot be read restores nothing either.
    """
    found: dict[str, list[str]] = {jail: [] for jail in jails}
    if not path.exists():
        return found
    query = "SELECT jail, ip FROM bips WHERE bantime < 0 OR timeofban + bantime > ?"
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=_TIMEOUT)) as database,
    ):
        for jail, address in database.execute(query, (int(time.time()),)):
            if jail in found:
                found[jail].append(str(address))
    return found


def enforced(machine: Machine, jail: str, action: str, banned: Callable[[], list[str]]) -> bool:
    """Whether the packet filter has each of a jail's bans.

    ``nft flush ruleset`` takes them away unseen, and where somebody took the table fail2ban makes it anew for
    the next ban, without those of before. Only of the action ``nftables`` is it known where to look.
    """
    if not action.startswith("nftables") or "name=" in action:
        return True
    missing = set(banned())
    # A ban is in fail2ban's list a moment before it is in the filter.
    for last in (False, True):
        if missing:
            missing -= _stopped(machine.run(_RULES, timeout=_TIMEOUT).out, jail)
        if missing and not last:
            time.sleep(machine.settle)
    # Who was let go meanwhile is not missed.
    return not (missing and missing & set(banned()))


def _stopped(listing: str, jail: str) -> set[str]:
    """The addresses in the sets of a jail that a rule uses."""
    found: set[str] = set()
    for name in (f"addr-set-{jail}", f"addr6-set-{jail}"):
        if f'"@{name}"' not in listing:
            continue
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):  # it is not nft's
            for part in json.loads(listing)["nftables"]:
                if part.get("set", {}).get("name") == name:
                    found.update(each for each in part["set"].get("elem", ()) if isinstance(each, str))
    return found
