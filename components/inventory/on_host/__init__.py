"""What is on a host and neither declared, nor of its packages, nor came with it. Read only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.agent.claims import Claimed
from portcullis.agent.kind import Kind, each
from portcullis.agent.kinds import Kinds
from portcullis.agent.step import WARN, Step
from portcullis.components.inventory.facts import (
    ABSENT,
    MAPS,
    InventoryDesired,
    InventoryFacts,
    InventorySpec,
    maps_of,
)
from portcullis.components.inventory.on_host import (
    accounts,
    docker,
    files,
    kernel,
    packages,
    programs,
    units,
)
from portcullis.components.inventory.on_host.look import Found, Look, printable, unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.store import Record

READERS = (accounts, files, units, programs, packages, kernel, docker)


class Inventories(Kind[InventorySpec, InventoryDesired, InventoryFacts]):
    """The kind `inventory`; a host has one. Nothing is changed, ever."""

    spec_type = InventorySpec
    desired_type = InventoryDesired
    facts_type = InventoryFacts

    def facts(self, questions: Sequence[Question[InventorySpec]]) -> Answers[InventoryFacts]:
        return each(lambda spec, _: self._told(spec), questions)

    def plan(self, desired: InventoryDesired, facts: InventoryFacts) -> list[Step]:
        found = maps_of(facts)
        return [
            Step(f'{name}["{key}"]', found[name][key], ABSENT, WARN)
            for name in MAPS
            for key in sorted(found[name])
        ]

    def is_unmodified_default(self, item: str, facts: InventoryFacts) -> bool:
        """Nothing is replaced."""
        return True

    def apply(self, desired: InventoryDesired, steps: list[Step], work: Work) -> None:
        """There is nothing to do: who brought something has to take it back."""

    def remove(self, desired: InventoryDesired, record: Record, folder: Path) -> str:
        return "kept"

    def _told(self, spec: InventorySpec) -> InventoryFacts:
        found = self._read(spec)
        told = {
            name: {printable(key): printable(entry.text) for key, entry in entries.items()}
            for name, entries in found.items()
        }
        return InventoryFacts.of(told, {})

    def _look(self, spec: InventorySpec) -> Look:
        records = list(self._store.all())
        kinds = Kinds(self._machine, self._store)
        claims = [kinds[record.kind].claims(record) for record in records if kinds.known(record.kind)]
        return Look(self._machine, Claimed(claims), spec, records)

    def _read(self, spec: InventorySpec) -> Found:
        """Return what all readers find; one that fails is an entry by itself."""
        look = self._look(spec)
        found: Found = {name: {} for name in MAPS}
        for reader in READERS:
            try:
                for name, entries in reader.read(look).items():
                    found[name].update(entries)
            except Exception as error:  # noqa: BLE001 - what one reader cannot read must not hide the rest
                name = reader.__name__.rpartition(".")[2]
                found[name][f"reading {name}"] = unreadable(error)
        return found
