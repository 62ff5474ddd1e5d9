"""Reads the undeclared items of a host, and changes nothing on the host."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from portcullis.agent.claims import Claimed, Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.first_change import KIND
from portcullis.agent.guard import BOOT_UNIT, Guards
from portcullis.agent.kind import Kind, each
from portcullis.agent.kinds import Kinds
from portcullis.agent.own_process import DEADLINE, OwnProcess
from portcullis.agent.root_folders import RootFolders
from portcullis.agent.step import WARN, Step
from portcullis.components.inventory.facts import (
    ABSENT,
    FORMER,
    MAPS,
    NO_BASELINE,
    NOT_KEPT,
    Advice,
    InventoryDesired,
    InventoryFacts,
    InventorySpec,
    maps_of,
)
from portcullis.components.inventory.on_host import (
    acceptances,
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
from portcullis.components.inventory.on_host.look import (
    LONGEST,
    Entry,
    Fixes,
    Found,
    Look,
    printable,
    unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store
    from portcullis.components.inventory.on_host.baseline import Baseline
    from portcullis.components.inventory.on_host.who import Login

Reader = Callable[[Look], Found]
READERS: Mapping[str, Reader] = {
    "accounts": accounts.read,
    "units": units.read,
    "packages": packages.read,
    "kernel": kernel.read,
    "docker": docker.read,
}
"""The readers by name. Most names are those of the map that the reader fills."""
READERS_OF_USERS: Mapping[str, Reader] = {
    "keys": accounts.read_keys,
    "files": files.read,
    "homes": files.read_homes,
    "programs": programs.read,
}
"""These readers look at files that users of the host own. Each of them runs in a process of its own."""
MOST = 300
"""A preview shows at most this number of entries of one map."""
MOST_OF_A_USER = 20
"""A preview shows at most this number of entries of one map that belong to one account other than root."""
_TRIES = 3
_FIXES = 20  # the most fixes of one entry
_NAMED = 3  # the most logins that one difference names
_PATIENT = 60.0
"""Seconds for the reader of root's files. Users may make the host slow, but such files do not hang."""
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
        return each(self._told, questions)

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
        found = self._read(self._look(specs[0] if specs else _NOTHING))
        for name in (*READERS, *READERS_OF_USERS):
            for entries in found.values():
                entries.pop(f"reading {name}", None)  # if it fails again, that is told again
        baseline.record(self._machine, found)

    def apply(self, desired: InventoryDesired, steps: list[Step], work: Work) -> None:
        """Leave every item in place: people remove items themselves.

        If the baseline cannot be read, record a new baseline. Record what the settings accept.
        """
        self.before_first_change()
        if desired.accepted:
            differing, _ = self._differing(self._look(desired.spec()))
            known = acceptances.of(work.record)
            work.record.extra[acceptances.KEPT] = acceptances.kept(differing, desired.accepted, known)

    def remove(self, desired: InventoryDesired, record: Record, folder: Path) -> str:
        return "kept"

    def _told(self, spec: InventorySpec, record: Record | None) -> InventoryFacts:
        look = self._look(spec)
        differing, known = self._differing(look)
        told = acceptances.left(differing, spec.accepted, acceptances.of(record))
        _name_logins(look, told)
        if known is None and record is not None:
            told["files"]["baseline"] = Entry(NO_BASELINE)
        if record is not None and record.spec.get("accepted") and acceptances.KEPT not in record.extra:
            told["files"]["inventory.accept"] = Entry(NOT_KEPT)
        shown = {name: _shown(entries) for name, entries in told.items()}
        folders = RootFolders(self._machine.root)
        advice = {name: _advice(entries, folders) for name, entries in told.items()}
        return InventoryFacts.of(shown, _about(known), advice)

    def _differing(self, look: Look) -> tuple[Found, Baseline | None]:
        """Return the differences from the baseline, and the baseline."""
        found, known = self._read(look), baseline.read(self._machine)
        differing = baseline.differences(found, known, lambda name, key: _is_settled(look, name, key, found))
        # Join first, so that accepting a unit also accepts its files.
        _join(differing)
        return differing, known

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
    """Return the findings of all readers of the inventory."""
    found: Found = {name: {} for name in MAPS}
    with contextlib.suppress(OSError):
        _ = look.dpkg, look.key_places  # read these once, for all processes
    started = {
        name: OwnProcess(
            partial(_read, name, reader, look), deadline=_PATIENT if name == "files" else DEADLINE
        )
        for name, reader in READERS_OF_USERS.items()
    }
    for name, reader in READERS.items():
        _add(found, _read(name, reader, look))
    for name, process in started.items():
        try:
            _add(found, process.result())
        except AgentError as error:
            _add(found, _failed(name, error))
    return found


def _read(name: str, reader: Reader, look: Look) -> Found:
    """Return the findings of one reader. If the reader fails, the failure becomes an entry."""
    try:
        return reader(look)
    except Exception as error:  # noqa: BLE001 - a failed reader must not hide the others
        return _failed(name, error)


def _failed(name: str, error: Exception) -> Found:
    found = {f"reading {name}": replace(unreadable(error), is_open=True)}
    return {name if name in MAPS else "files": found}


def _add(found: Found, more: Found) -> None:
    for name, entries in more.items():
        found[name].update(entries)


def _is_settled(look: Look, name: str, key: str, found: Found) -> bool:
    """Return whether a baseline entry may be missing now.

    Its item may be declared, it may still exist, or its reader failed.
    """
    reader = "homes" if name == "files" and files.is_in_home(look, key) else name
    if f"reading {reader}" in found[name]:
        return True
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
        if file.text.endswith(baseline.CONTENT):
            more = more.removesuffix(f", {baseline.CONTENT}")
        told["files"][path] = replace(
            file, text=f"{file.text}, {more}", is_open=file.is_open or program.is_open
        )
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
                entries[key] = replace(entry, text=text)


def _when(changed: float, logins: Sequence[Login]) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(changed))
    open_then = [one for one in logins if one.start <= changed and (one.end is None or changed <= one.end)]
    names = sorted({f"{one.user}, key {one.key_name}, {one.address}," for one in open_then})
    if not names:
        return f"changed {moment}, who: unknown"
    told = names[:_NAMED] + ([f"{len(names) - _NAMED} more"] if len(names) > _NAMED else [])
    verb = "was" if len(names) == 1 else "were"
    return f"changed {moment} while {' and '.join(told)} {verb} logged in"


def _shown(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Return keys and texts in the form that the provider gets: without control characters, and truncated."""
    keys, left = _chosen(entries)
    shown = {printable(key): _whole(printable(entries[key].text)) for key in keys}
    for owner, number in left.items():
        shown[f"more of {owner}" if owner else "more"] = f"{number} more are not shown"
    return shown


def _chosen(entries: Mapping[str, Entry]) -> tuple[list[str], dict[str, int]]:
    """Return the keys that a preview shows, root's first, and the number of all other keys by their owner."""
    shown: list[str] = []
    count: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for key in sorted(entries, key=lambda key: (entries[key].owner != "", key)):
        owner = entries[key].owner
        count[owner] += 1
        if len(shown) < MOST and (not owner or count[owner] <= MOST_OF_A_USER):
            shown.append(key)
        else:
            left[owner] += 1
    return shown, left


def _advice(entries: Mapping[str, Entry], folders: RootFolders) -> dict[str, Advice]:
    """Return the advice of the same entries, without those that have none."""
    found = {
        printable(key): Advice(entries[key].is_open, _offered(folders, key, entries[key].fixes))
        for key in _chosen(entries)[0]
    }
    return {key: advice for key, advice in found.items() if advice.is_open or advice.fixes}


def _offered(folders: RootFolders, key: str, fixes: Fixes) -> Fixes:
    """Return the fixes of an entry for a report, or none if root should not paste one of them.

    All operands must be whole and printable. A path must be one that only root can redirect.
    """
    words = [key, *(word for fix in fixes for word in fix)]
    is_short = len(fixes) <= _FIXES and all(len(word) <= LONGEST for word in words)
    paths = (word for word in words if word.startswith("/"))
    if is_short and all(map(str.isprintable, words)) and all(map(folders.hold, paths)):
        return fixes
    return ()


def _whole(text: str) -> str:
    """Return a text, and end its quotes if it was cut off within quotes."""
    quotes = re.sub(r"\\.", "", text).count('"')
    return f'{text}"' if quotes % 2 and text.endswith("…") else text


def _about(known: Baseline | None) -> dict[str, str]:
    return {"recorded": known.recorded, "entries": str(known.entries)} if known else {}
