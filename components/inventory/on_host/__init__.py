"""Reads the undeclared items of a host, and changes nothing on the host."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Dict

from portcullis.agent.claims import Claimed, Claims
from portcullis.agent.first_change import KIND
from portcullis.agent.guard import BOOT_UNIT, Guards
from portcullis.agent.kind import Kind, each
from portcullis.agent.kinds import Kinds
from portcullis.agent.step import WARN, Step
from portcullis.components.inventory.facts import (
    ABSENT,
    FORMER,
    MAPS,
    NO_BASELINE,
    InventoryDesired,
    InventoryFacts,
    InventorySpec,
    maps_of,
)
from portcullis.components.inventory.on_host import (
    accounts,
    baseline,
    docker,
    dpkg,
    files,
    kernel,
    packages,
    programs,
    units,
    who,
)
from portcullis.components.inventory.on_host.look import Entry, Found, Look, printable, unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store
    from portcullis.components.inventory.on_host.baseline import Baseline
    from portcullis.components.inventory.on_host.who import Login

READERS = (accounts, files, units, programs, packages, kernel, docker)
MOST = 300
"""A preview shows at most this number of entries of one map."""
_TRIES = 3
_NAMED = 3  # the most logins that one difference names
_UNREAD_UNITS = "reading units"
_NOTHING = InventorySpec([], {}, [], [], {})
_DANGEROUS = ("keys", "accounts", "programs", "docker")


class Inventories(Kind[InventorySpec, InventoryDesired, InventoryFacts]):
    """The agent's code for resources of the kind `inventory`.

    A host has one such resource, which never changes the items that it finds.
    """

    spec_type = InventorySpec
    desired_type = InventoryDesired
    facts_type = InventoryFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Prepare to ask all other kinds of resources for the files, units and accounts that they own."""
        super().__init__(machine, store)
        self._kinds = Kinds(machine, store)

    def facts(self, questions: Sequence[Question[InventorySpec]]) -> Answers[InventoryFacts]:
        return each(lambda spec, record: self._told(spec, is_deployed=record is not None), questions)

    def plan(self, desired: InventoryDesired, facts: InventoryFacts) -> list[Step]:
        """List every entry of the inventory, except those that this `up` removes.

        Before the first `up`, list only the dangerous entries, and the number of entries that `up` will
        record.
        """
        found = maps_of(facts)
        steps = []
        names: Sequence[str] = MAPS
        if not facts.baseline:
            count = sum(map(len, found.values()))
            steps.append(Step("baseline", "absent", f"{count} things that came with the machine", WARN))
            names = _DANGEROUS
        return steps + [
            Step(f'{name}["{key}"]', found[name][key], ABSENT, WARN)
            for name in names
            for key in sorted(found[name])
            if found[name][key] not in FORMER
        ]

    def is_unmodified_default(self, item: str, facts: InventoryFacts) -> bool:
        """Return true: a deploy replaces nothing here, so it needs no `adopt`."""
        return True

    def before_first_change(self) -> None:
        """Record the items that came with the machine, if there is no record yet. Raises `AgentError`."""
        if baseline.read(self._machine) is not None:
            return
        programs.walk_now(self._machine)
        # If a deployed host has lost this record, declared items must not count as part of the machine.
        specs = [self.as_spec(record.spec) for record in self._store.all() if record.kind == KIND]
        baseline.record(self._machine, self._read(self._look(specs[0] if specs else _NOTHING)))

    def apply(self, desired: InventoryDesired, steps: list[Step], work: Work) -> None:
        """Leave every item in place: people remove items themselves.

        If the baseline cannot be read, record a new baseline.
        """
        self.before_first_change()

    def remove(self, desired: InventoryDesired, record: Record, folder: Path) -> str:
        return "kept"

    def _told(self, spec: InventorySpec, *, is_deployed: bool) -> InventoryFacts:
        look = self._look(spec)
        found, known = self._read(look), baseline.read(self._machine)
        differing = baseline.differences(found, known, lambda name, key: _is_settled(look, name, key))
        # Join first, so that accepting a unit also accepts its files.
        _join(differing)
        told = baseline.accepted(differing, spec.accepted)
        _name_logins(look, told)
        if known is None and is_deployed:
            told["files"]["baseline"] = Entry(NO_BASELINE)
        shown = {name: _shown(entries) for name, entries in told.items()}
        return InventoryFacts.of(shown, _about(known))

    def _look(self, spec: InventorySpec) -> Look:
        records = list(self._store.all())
        claims = [
            self._kinds[record.kind].claims(record) for record in records if self._kinds.known(record.kind)
        ]
        if Guards(self._machine).pending():
            # This unit undoes an unconfirmed change if the host reboots.
            unit = self._machine.units / BOOT_UNIT
            claims.append(Claims(paths=(str(unit),), units=(BOOT_UNIT,)))
        return Look(self._machine, Claimed(claims), spec, records)

    def _read(self, look: Look) -> Found:
        """Read the whole host, and read it again if packages changed meanwhile."""
        for _ in range(_TRIES):
            dpkg.wait_until_idle(self._machine)
            before = dpkg.state(self._machine)
            found = _everything(look)
            if dpkg.state(self._machine) == before:
                break
            look = Look(look.machine, look.claims, look.spec, look.records)
        return found


def _everything(look: Look) -> Found:
    """Return the findings of all readers of the inventory.

    If a reader fails, the failure becomes an entry.
    """
    found: Found = {name: {} for name in MAPS}
    for reader in READERS:
        try:
            for name, entries in reader.read(look).items():
                found[name].update(entries)
        except Exception as error:  # noqa: BLE001 - a failed reader must not hide the others
            name = reader.__name__.rpartition(".")[2]
            found[name][f"reading {name}"] = unreadable(error)
    return found


def _is_settled(look: Look, name: str, key: str) -> bool:
    """Whether a baseline entry may be missing now, because its item is declared or still exists."""
    if name == "files":
        real = key if str(look.machine.root) == "/" else f"{look.machine.root}{key}"
        return look.claims.has_path(key) or os.path.lexists(real) or not key.startswith("/")
    return key in (look.claims.units if name == "units" else look.claims.users)


def _join(told: Found) -> None:
    """Merge entries of two readers about the same item into one entry."""
    for path in set(told["programs"]).intersection(told["files"]):
        program, file = told["programs"].pop(path), told["files"][path]
        # Both texts begin with the kind, the mode and the owner of the file.
        more = program.text.partition(", ")[2] or program.text
        told["files"][path] = Entry(f"{file.text}, {more}", file.mark, file.changed)
    if _UNREAD_UNITS not in told["units"]:
        # The entry of a unit covers its files. If the unit has no entry, its files need no entry either,
        # because the change may be our own.
        for path in list(filter(units.covers, told["files"])):
            del told["files"][path]


def _name_logins(look: Look, told: Found) -> None:
    """Add to the text of each difference who was logged in at the time of the difference, if it is known.

    Read the journal at most once.
    """
    times = [entry.changed for entries in told.values() for entry in entries.values() if entry.changed]
    if not times:
        return
    logins = who.logins(look, min(times))
    for entries in told.values():
        for key, entry in entries.items():
            if entry.changed:
                text = f"{entry.text} ({_when(entry.changed, logins)})"
                entries[key] = Entry(text, entry.mark, entry.changed)


def _when(changed: float, logins: Sequence[Login]) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(changed))
    open_then = [one for one in logins if one.start <= changed and (one.end is None or changed <= one.end)]
    names = sorted({f"{one.user}, key {one.key_name}, {one.address}," for one in open_then})
    if not names:
        return f"changed {moment}, who: unknown"
    told = names[:_NAMED] + ([f"{len(names) - _NAMED} more"] if len(names) > _NAMED else [])
    verb = "was" if len(names) == 1 else "were"
    return f"changed {moment} while {' and '.join(told)} {verb} logged in"


def _shown(entries: Mapping[str, Entry]) -> Dict[str, str]:
    """Return keys and texts in the form that the provider gets: without control characters, and truncated."""
    keys = sorted(entries)
    shown = {printable(key): printable(entries[key].text) for key in keys[:MOST]}
    if len(keys) > MOST:
        shown["more"] = f"{len(keys) - MOST} more are not shown"
    return shown


def _about(known: Baseline | None) -> Dict[str, str]:
    return {"recorded": known.recorded, "entries": str(known.entries)} if known else {}
