"""Reads and writes the baseline: a list of what came with the machine.

We record it before our first change.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Dict, Mapping

from portcullis.agent import disk
from portcullis.agent.first_change import machine_id, make_folder, path
from portcullis.components.inventory.facts import MAPS, WORDS, acceptance
from portcullis.components.inventory.on_host.look import Entry

if TYPE_CHECKING:
    from typing import Callable

    from portcullis.agent.machine import Machine
    from portcullis.components.inventory.on_host.look import Found

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
        found = {
            name: {
                key: Entry(str(words[0]), str(words[1]), passing=len(words) > 2)  # noqa: PLR2004 - a third word says so
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
    # `first_change` searches for "machine" near the start of the file.
    told = {"recorded": recorded, "machine": made.machine_id, "found": kept}
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
            key: _changed(entry, before.get(key))
            for key, entry in now.items()
            if _is_different(entry, before.get(key))
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


def _is_different(entry: Entry, before: Entry | None) -> bool:
    return before is None or (entry.text, entry.mark) != (before.text, before.mark)


def _changed(entry: Entry, before: Entry | None) -> Entry:
    if before is None:
        return entry
    more = "its content changed" if entry.text == before.text else f"was: {before.text}"
    return Entry(f"{entry.text}, {more}", entry.mark, entry.changed)


def accepted(
    differing: Mapping[str, Mapping[str, Entry]], accept: Mapping[str, str]
) -> Dict[str, Dict[str, Entry]]:
    """Return the entries that are not accepted, and each key in `accept` that matches no entry."""
    unused = set(accept)
    told: Dict[str, Dict[str, Entry]] = {name: {} for name in MAPS}
    for name, entries in differing.items():
        for key, entry in entries.items():
            if acceptance(name, key) in accept:
                unused.discard(acceptance(name, key))
            else:
                told[name][key] = entry
    for key in sorted(unused):
        word = key.partition(" ")[0]
        name = next((name for name, start in WORDS.items() if start == word), "docker")
        told[name][f"accept {key}"] = Entry("has no effect: remove it from inventory.accept")
    return told
