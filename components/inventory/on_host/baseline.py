"""Reads and writes the baseline: a list of what came with the machine.

We record it before our first change.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from portcullis.agent import disk
from portcullis.agent.first_change import machine_id, make_folder, path
from portcullis.agent.quotes import quoted, unquoted
from portcullis.components.inventory.facts import MAPS
from portcullis.components.inventory.on_host.look import SYSCTL, Entry
from portcullis.components.users.facts import NO_PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from portcullis.agent.machine import Machine
    from portcullis.components.inventory.on_host.look import Fixes, Found

CONTENT = "its content changed"
"""The text about an item of the baseline of which only the mark differs."""
_LASTING = ("accounts", "files", "units")
"""Maps in which a missing entry is a difference. Entries of all other maps may disappear."""


@dataclass(frozen=True)
class Baseline:
    """The items that came with the machine.

    Attributes:
        recorded: the time of recording, such as "2026-11-27T08:00:12Z".
        machine_id: the id of the machine. A cloned disk gets another id, so it counts as another machine.
        found: the recorded entries of the baseline, by map and key.
    """

    recorded: str
    machine_id: str
    found: Found = field(default_factory=dict)

    @property
    def entries(self) -> int:
        """The number of recorded entries."""
        return sum(map(len, self.found.values()))


def read(machine: Machine) -> Baseline | None:
    """Return this machine's baseline. Return None if it is missing, invalid or another machine's baseline."""
    try:
        data = json.loads(path(machine).read_bytes())
        states = data.get("states")
        found = {
            name: {
                key: Entry(
                    str(words[0]) if states is not None else _as_told(name, str(words[0])),
                    str(words[1]),
                    passing=len(words) > 2,  # noqa: PLR2004 - a third word says so
                    state=None if states is None else dict(states.get(name, {}).get(key, {})),
                )
                for key, words in data["found"].get(name, {}).items()
            }
            for name in MAPS
        }
        known = Baseline(str(data["recorded"]), str(data["machine"]), found)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return known if known.machine_id == machine_id(machine) else None


def record(machine: Machine, found: Found) -> Baseline:
    """Record the present items of the host. Raises `AgentError`."""
    recorded = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    make_folder(machine)
    made = Baseline(recorded, machine_id(machine), found)
    kept = {
        name: {key: [entry.text, entry.mark, *["passing"] * entry.passing] for key, entry in entries.items()}
        for name, entries in found.items()
    }
    states = {
        name: {key: entry.state for key, entry in entries.items() if entry.state}
        for name, entries in found.items()
    }
    # `first_change` searches for "machine" near the start of the file.
    told = {"recorded": recorded, "machine": made.machine_id, "found": kept, "states": states}
    disk.write(path(machine), json.dumps(told, indent=0).encode("utf-8", "surrogateescape"))
    return made


def differences(
    found: Mapping[str, Mapping[str, Entry]],
    known: Baseline | None,
    is_settled: Callable[[str, str], bool],
) -> Found:
    """Return the differences from the baseline.

    Args:
        found: the present items of the host, by map and key.
        known: the baseline.
        is_settled: a function of map and key. The function returns true if a baseline entry may be missing in
            `found`, because its item is now declared or still exists.
    """
    before_by_map = known.found if known else {}
    told: Found = {}
    for name in MAPS:
        now, before = found.get(name, {}), before_by_map.get(name, {})
        told[name] = {
            key: _changed(name, key, entry, before.get(key))
            for key, entry in now.items()
            if _is_different(name, entry, before.get(key))
        }
        if name in _LASTING:
            told[name].update(
                {
                    key: Entry(f"gone; was: {entry.text}")
                    for key, entry in before.items()
                    if key not in now and not entry.passing and not is_settled(name, key)
                }
            )
    return told


def _is_different(name: str, entry: Entry, before: Entry | None) -> bool:
    if before is None or not _has_same_text(entry, before):
        return True
    # Older versions recorded programs without marks.
    return entry.mark != before.mark and not (name == "programs" and not before.mark)


def _changed(name: str, key: str, entry: Entry, before: Entry | None) -> Entry:
    if before is None:
        return entry
    more = CONTENT if _has_same_text(entry, before) else f"was: {before.text}"
    fixes = restores(name, key, entry.state or {}, before.state or {})
    return replace(entry, text=f"{entry.text}, {more}", fixes=fixes)


def _has_same_text(entry: Entry, before: Entry) -> bool:
    if before.state is None:
        return unquoted(entry.text) == unquoted(before.text)
    return entry.text == before.text


def _as_told(name: str, text: str) -> str:
    """Return a text of an older version, in quotes if it may have words of a user of the host."""
    return quoted(text) if name == "keys" or text.startswith("link to ") else text


def restores(name: str, key: str, now: Mapping[str, str], before: Mapping[str, str]) -> Fixes:
    """Return the fixes that restore a changed item of the baseline.

    Args:
        name: the map of the inventory.
        key: the key of the entry, which is the operand too.
        now: the present values of the item, as its reader noted them.
        before: the values in the baseline.
    """
    changed = {each for each in before if each in now and now[each] != before[each]}
    if name == "files" and "target" in changed:
        return (("link", before["target"], key),)
    if name == "files" and now.get("kind") == before.get("kind") and changed & {"owner", "mode"}:
        return (("rights", before["owner"], key, before["mode"]),)
    if name == "accounts" and "uid" not in changed:
        lock = "password" in changed and before["password"] == NO_PASSWORD
        return (
            *([("lock", key)] if lock else []),
            *([("shell", before["shell"], key)] if "shell" in changed else []),
        )
    if name == "packages" and "held" in changed and not before["held"]:
        return (("unhold", key),)
    if name == "kernel" and "value" in changed:
        return (("sysctl", key[len(SYSCTL) :], before["value"]),)
    return ()
