"""Who is banned: by fail2ban's database, and by the packet filter."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from portcullis.host.agent.machine import Machine

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


def enforced(machine: Machine, jail: str, action: str, banned: list[str]) -> bool:
    """Whether the packet filter knows a jail's bans; ``nft flush ruleset`` takes them away unseen.

    Only of the action ``nftables`` is it known where to look.
    """
    if not banned or not action.startswith("nftables") or "name=" in action:
        return True
    sets = {f'"@addr6-set-{jail}"' if ":" in address else f'"@addr-set-{jail}"' for address in banned}
    # A ban is in fail2ban's list a moment before it is in the filter.
    for last in (False, True):
        rules = machine.run(_RULES, timeout=_TIMEOUT).out
        if all(used in rules for used in sets):
            return True
        if not last:
            time.sleep(machine.settle)
    return False
