"""Packages: sets of installed packages. Several sets may share a package.

Each package has a record of its own. The record lists the owners that declare the package, and tells whether
the package came with the machine. A package that came as a dependency has a record without owners. We remove
only packages that we installed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind
from portcullis.agent.step import Json, Step
from portcullis.agent.store import Record, Store
from portcullis.resources.packages.facts import (
    INSTALLED,
    NAME,
    PackagesDesired,
    PackagesFacts,
    PackagesSpec,
)
from portcullis.resources.packages.on_host.apt import Apt, is_installed, is_there
from portcullis.resources.packages.on_host.policy import DISABLED, disable, forget_units, not_early

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.resources.packages.on_host.apt import Changes

_SET = "packages"
_ONE = "package"  # the kind of a single package's record; clients cannot use this kind


@dataclass(eq=False)
class _Wish:
    """The missing packages of a set that waits for apt.

    Another set's run of apt may install these packages, too.
    """

    owner: str
    missing: set[str]
    recommends: bool


class Packages(Kind[PackagesSpec, PackagesDesired, PackagesFacts]):
    """The kind `packages`."""

    spec_type = PackagesSpec
    desired_type = PackagesDesired
    facts_type = PackagesFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Store the host, and `store` for the records of single packages."""
        super().__init__(machine, store)
        self._apt = Apt(machine)
        self._lock = threading.Lock()
        self._waiting: list[_Wish] = []

    def claims(self, record: Record) -> Claims:
        return Claims(packages=tuple(record.spec.get("names", ())))

    def facts(self, questions: Sequence[Question[PackagesSpec]]) -> Answers[PackagesFacts]:
        """Ask dpkg once about all packages."""
        names = {name for spec, _ in questions for name in spec.names if NAME.match(name)}
        try:
            states = self._apt.states(names)
        except AgentError as error:
            return [error] * len(questions)
        return [
            PackagesFacts(
                exists=True,
                packages={name: INSTALLED for name in spec.names if is_installed(states.get(name))},
            )
            for spec, _ in questions
        ]

    def plan(self, desired: PackagesDesired, facts: PackagesFacts) -> list[Step]:
        return [
            Step(f"packages.{name}", "absent", INSTALLED, "install")
            for name in sorted(desired.packages)
            if name not in facts.packages
        ]

    def obstacle(self, desired: PackagesDesired, facts: PackagesFacts) -> AgentError | None:
        for name in desired.packages:
            if not NAME.match(name):
                return AgentError("invalid", f"{name!r} is not the name of a Debian package", prop="packages")
        return None

    def is_unmodified_default(self, item: str, facts: PackagesFacts) -> bool:
        """Return True, because the installation of a missing package overwrites nothing."""
        return True

    def original(self, item: str, facts: PackagesFacts, folder: Path) -> Json:
        """Return an empty original, because each package's own record has its original state."""
        return {"type": "packages"}

    def apply(self, desired: PackagesDesired, steps: list[Step], work: Work) -> None:
        """Install the missing packages.

        Give up the packages that are no longer in the set: remove, purge or keep them, as `on_delete` says.
        """
        names, owner = set(desired.packages), work.record.owner
        ours = _Wish(owner, {step.prop.partition(".")[2] for step in steps}, desired.recommends)
        missing = set(ours.missing)
        if missing:
            self._waiting.append(ours)
        with self._lock:
            if missing:
                self._waiting.remove(ours)
            self._rename(str(work.record.extra.get("former", owner)), owner)
            if ours.missing:
                self._install(ours, work)
            self._remember(names, owner, brought=missing)
            self._leave_stopped(work)
            given_up = {r.id for r in self._singles() if owner in r.extra["owners"]} - names
            self._give_up(given_up, owner, desired.on_delete, desired.never_purge)

    def _install(self, ours: _Wish, work: Work) -> None:
        """Install the missing packages of a set and, in the same run, those of the waiting sets."""
        self._apt.prepare(ours.missing)
        will = self._apt.would_install(ours.missing, recommends=ours.recommends)
        if will.takes and not work.adopt:
            raise AgentError(
                "differs",
                f"installing {_list(ours.missing)} would remove {_list(will.takes)}",
                prop="packages",
                hint="set adopt=True (in the settings: adopt: true) to allow the removal of these packages",
            )
        others, with_others = ([], will) if will.takes else self._joined(ours, will)
        try:
            self._bring([ours, *others], with_others, work)
        except AgentError as error:
            if not others or error.code != "apt":
                raise
            self._bring([ours], will, work)  # the fault may be in another set

    def _joined(self, ours: _Wish, alone: Changes) -> tuple[list[_Wish], Changes]:
        """Return the waiting sets that can join our run of apt, and all changes of that run.

        A run of apt takes seconds, so sets share a run. If one of the sets has a fault, no set joins. The
        faulty set reports its fault when apt runs for it alone.
        """
        others = [wish for wish in self._waiting if wish.recommends == ours.recommends and wish.missing]
        if not others:
            return [], alone
        everything = ours.missing.union(*(wish.missing for wish in others))
        try:
            self._apt.prepare(everything)
            will = self._apt.would_install(everything, recommends=ours.recommends)
        except AgentError:
            return [], alone
        return ([], alone) if will.takes else (others, will)

    def _bring(self, wishes: list[_Wish], will: Changes, work: Work) -> None:
        """Run apt once for all of `wishes`.

        If this method raises `AgentError`, the packages that were not installed do not have the new owner in
        their records.
        """
        everything = {name for wish in wishes for name in wish.missing}
        self._remember(will.brings - everything, "", brought=will.brings)
        for wish in wishes:
            self._remember(wish.missing, wish.owner, brought=wish.missing)
        before = work.record.extra.get("brought", ())
        work.record.extra["brought"] = sorted({*before, *will.brings, *everything})
        work.save()  # This note comes first: after a kill, the next run still has to disable the new services
        try:
            self._apt.install(everything, recommends=wishes[0].recommends)
        except AgentError:
            installed = self._installed(everything)
            for wish in wishes:
                self._give_up(wish.missing - installed, wish.owner, "keep")
            raise
        for wish in wishes:
            wish.missing.clear()

    def remove(self, desired: PackagesDesired, record: Record, folder: Path) -> str:
        with self._lock:
            held = {r.id for r in self._singles() if record.owner in r.extra["owners"]}
            done = self._give_up(held, record.owner, desired.on_delete, desired.never_purge)
            self._hand_over(record)
            return done

    def _hand_over(self, record: Record) -> None:
        """Give a set's note about disabled units to another set.

        Its run of apt may have brought the packages of the other set too.
        """
        noted = record.extra.get(DISABLED, ())
        heir = next((r for r in self._store.all() if r.kind == _SET and r.owner != record.owner), None)
        if noted and heir:
            heir.extra[DISABLED] = sorted({*heir.extra.get(DISABLED, ()), *noted})
            self._store.save(heir)

    def _leave_stopped(self, work: Work) -> None:
        """Disable the units of new packages, unless a ``service`` declares them.

        So these units do not start at boot either.
        """
        brought = set(work.record.extra.get("brought", ()))
        if brought:
            declared = {record.id for record in self._store.all() if record.kind == "service"}
            installed = self._installed(brought)
            units = not_early(self._machine, installed, declared)
            # Note also the disabled units: a killed agent or Debian's notes may have disabled them.
            work.record.extra[DISABLED] = sorted({*work.record.extra.get(DISABLED, ()), *units})
            disable(self._machine, sorted(unit for unit, starts in units.items() if starts))
            # The apt of a killed agent may still be installing the other packages.
            work.record.extra["brought"] = sorted(brought - installed)
            work.save()

    def _installed(self, names: Collection[str]) -> set[str]:
        return {name for name, state in self._apt.states(names).items() if is_installed(state)}

    def _singles(self) -> list[Record]:
        return [record for record in self._store.all() if record.kind == _ONE]

    def _rename(self, former: str, owner: str) -> None:
        for record in self._singles() if former != owner else ():
            owners = record.extra["owners"]
            if former in owners:
                record.extra["owners"] = sorted({*owners, owner} - {former})
                self._store.save(record)

    def _remember(self, names: Collection[str], owner: str, *, brought: Collection[str]) -> None:
        """Before the change, record the owners of each package, and whether the package is installed.

        If a package already has a record, the record keeps its original state.
        """
        present = set(names) - set(brought)
        first = [name for name in sorted(names) if self._store.load(_ONE, name) is None]
        automatic = self._apt.automatic(present & set(first)) if present & set(first) else set()
        configured = {name for name, state in self._apt.states(first).items() if state[1:] == "c"}
        if owner:
            self._apt.mark("manual", automatic)  # otherwise the host's next autoremove could remove it
        for name in sorted(names):
            original = {
                "type": "installed" if name in present else "absent",
                "automatic": name in automatic,
                "configured": name in configured,
            }
            record = self._store.load(_ONE, name) or Record(
                _ONE, name, "", "", {}, "", original, extra={"owners": []}
            )
            owners = sorted({*record.extra["owners"], *([owner] if owner else [])})
            if owners != record.extra["owners"] or name in first:
                record.extra["owners"] = owners
                self._store.save(record)

    def _give_up(
        self, names: Collection[str], owner: str, on_delete: str, never_purge: Collection[str] = ()
    ) -> str:
        """Remove `owner` from the owners of packages.

        Remove the packages that we installed and that no owner and no other package needs any more. The owner
        is removed from the records last. So after a failure or a kill, the next run finds all remaining work.
        """
        held = [record for record in self._singles() if record.id in names]
        idle = [record for record in held if set(record.extra["owners"]) <= {owner}]
        ours = {record.id for record in idle if record.original["type"] == "absent"}
        before = {record.id for record in idle if record.original.get("automatic")}
        # Somebody removed these packages before us without a purge. The remaining files are not ours.
        theirs = {record.id for record in idle if record.original.get("configured")}
        spared = frozenset(never_purge) | theirs
        done = "kept"
        if ours and on_delete != "keep" and self._take_away(ours, purge=on_delete == "purge", spared=spared):
            done = "removed"
        self._apt.mark("auto", self._installed(before))
        for record in held:
            if record in idle:
                self._store.drop(record)
            else:
                record.extra["owners"] = [other for other in record.extra["owners"] if other != owner]
                self._store.save(record)
        self._forget_dependencies()
        return done

    def _take_away(self, names: set[str], *, purge: bool, spared: frozenset[str]) -> set[str]:
        came_along = {
            r.id for r in self._singles() if r.original["type"] == "absent" and not r.extra["owners"]
        }
        may_go = came_along | names
        states = self._apt.states(may_go)
        there = {name for name in names if is_there(states.get(name))}
        if purge:
            # These names include dependencies, because an interrupted run may have removed them already.
            there |= {name for name in may_go if states.get(name, "")[1:] == "c"} - spared
        going = self._harmless(there, may_go)
        self._apt.mark("auto", {name for name in there - going if is_installed(states[name])})
        self._away(going, purge=purge, spared=spared)
        # Purge also if no other package is removed, because an interrupted run may have stopped here.
        unneeded = self._harmless(self._apt.unneeded() & may_go, may_go)
        self._away(unneeded, purge=purge, spared=spared)
        return set(going | unneeded)

    def _away(self, names: frozenset[str], *, purge: bool, spared: frozenset[str]) -> None:
        kept = names & spared if purge else names
        if kept:
            # Remove these packages first: a purge of a package that they need would purge them, too.
            singles = {record.id: record for record in self._singles()}
            fresh = {name for name in kept if not singles[name].original.get("configured")}
            forget_units(self._machine, self._installed(fresh))
            self._apt.take_away(kept, purge=False)
        if names - kept:
            self._apt.take_away(names - kept, purge=True)

    def _harmless(self, names: Collection[str], may_go: Collection[str]) -> frozenset[str]:
        """Return those of `names` that apt can remove without a change to packages outside `may_go`."""

        def harmless(group: Collection[str]) -> bool:
            will = self._apt.would("remove", sorted(group))
            return will.takes <= set(may_go) and not will.brings

        if not names or harmless(names):
            return frozenset(names)
        alone = frozenset(name for name in names if harmless([name]))
        return alone if alone and harmless(alone) else frozenset()

    def _forget_dependencies(self) -> None:
        """Drop records of removed dependencies.

        After the last set, drop all records: apt removes the remaining dependencies.
        """
        singles = self._singles()
        gone = {record.id for record in singles} - self._installed([record.id for record in singles])
        wanted = any(record.extra["owners"] for record in singles)
        for record in singles:
            if not record.extra["owners"] and (not wanted or record.id in gone):
                self._store.drop(record)


def _list(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
