"""Banned addresses: the addresses in fail2ban's database, and the addresses in the packet filter."""

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
    """The addresses that each jail bans again when it starts, from fail2ban's database.

    An unreadable database counts as empty, because fail2ban cannot restore bans from it either.
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
    """Whether the packet filter has all bans of a jail.

    fail2ban does not notice ``nft flush ruleset``. If somebody deleted the table, fail2ban creates the table
    again for the next ban, without the earlier bans. Only the action ``nftables`` can be checked.
    """
    if not action.startswith("nftables") or "name=" in action:
        return True
    missing = set(banned())
    # fail2ban's list has a new ban a moment before the packet filter has it, so look twice.
    for last in (False, True):
        if missing:
            missing -= _in_packet_filter(machine.run(_RULES, timeout=_TIMEOUT).out, jail)
        if missing and not last:
            time.sleep(machine.settle)
    # A ban that ended meanwhile is not missing.
    return not (missing and missing & set(banned()))


def _in_packet_filter(listing: str, jail: str) -> set[str]:
    """The addresses in the jail's sets of nftables, if a rule uses the set."""
    found: set[str] = set()
    for name in (f"addr-set-{jail}", f"addr6-set-{jail}"):
        if f'"@{name}"' not in listing:
            continue
        with contextlib.suppress(
            ValueError, KeyError, TypeError, AttributeError
        ):  # the listing has another format
            for part in json.loads(listing)["nftables"]:
                if part.get("set", {}).get("name") == name:
                    found.update(each for each in part["set"].get("elem", ()) if isinstance(each, str))
    return found
