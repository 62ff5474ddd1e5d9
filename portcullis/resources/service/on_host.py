"""Services: whether a systemd unit runs, starts at boot, and has loaded its present files."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from portcullis.agent import journal, undeclared
from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind
from portcullis.agent.step import Json, Step, compare
from portcullis.agent.watch import changed_since, newest_change
from portcullis.agent.wire import encode
from portcullis.resources.service.facts import NAME, ServiceDesired, ServiceFacts, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store

Unit = dict[str, str]

_PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "NeedDaemonReload", "CanReload",
    "InvocationID", "ActiveEnterTimestampMonotonic", "StateChangeTimestampMonotonic", "ReloadResult",
    "Result",
)  # fmt: skip
_SHOW_TIMEOUT = 30.0
_JOB_TIMEOUT = 180.0
_START_LIMIT = 120.0  # seconds from start to active
RUNNING = ("active", "reloading", "refreshing")


class Services(Kind[ServiceSpec, ServiceDesired, ServiceFacts]):
    """The kind `service`."""

    spec_type = ServiceSpec
    desired_type = ServiceDesired
    facts_type = ServiceFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Store the host, to run systemctl."""
        super().__init__(machine, store)
        self._lock = threading.Lock()
        self._attempt = threading.local()  # `began`: the moment, in seconds since 1970

    def claims(self, record: Record) -> Claims:
        return Claims(units=(record.id,))

    def facts(self, questions: Sequence[Question[ServiceSpec]]) -> Answers[ServiceFacts]:
        """Ask systemd once about all units."""
        try:
            units = self._show([spec.unit for spec, _ in questions])
        except AgentError as error:
            return [error] * len(questions)
        answers: Answers[ServiceFacts] = []
        for (spec, record), unit in zip(questions, units, strict=True):
            try:
                answers.append(_facts(unit, newest_change(spec.reads), record))
            except AgentError as error:
                answers.append(error)
        return answers

    def plan(self, desired: ServiceDesired, facts: ServiceFacts) -> list[Step]:
        if not facts.exists:
            return [Step("unit", "absent", desired.unit, "load")]
        steps = compare(desired, facts, ("enabled", "active"), "set")
        if desired.active == "active" and facts.active == "active" and facts.stale:
            steps.append(Step("stale", "True", "False", desired.on_change))
        return steps

    def obstacle(self, desired: ServiceDesired, facts: ServiceFacts) -> AgentError | None:
        if desired.enabled == "masked" and desired.active == "active":
            return AgentError("invalid", "a masked unit cannot be active", prop="enabled")
        return None

    def is_unmodified_default(self, item: str, facts: ServiceFacts) -> bool:
        """Return whether nobody masked the unit.

        Only a person masks a unit, so a mask must not be replaced without `adopt`.
        """
        return not facts.enabled.startswith("masked")

    def original(self, item: str, facts: ServiceFacts, folder: Path) -> Json:
        if not facts.exists:
            return {"type": "absent"}
        return {"type": "unit", "enabled": facts.enabled, "active": facts.active}

    def apply(self, desired: ServiceDesired, steps: list[Step], work: Work) -> None:
        # `operations` needs this note after the removal of a file that the unit reads. The spec has the
        # paths.
        work.record.extra["desired"] = encode(replace(desired, reads={}))
        if not steps:
            return
        # systemctl answers before a reload has ended. No file may be removed until the unit has settled.
        starts = desired.active == "active"
        self._attempt.began = time.time()
        with self._machine.readers.reading() if starts else contextlib.nullcontext():
            reads = self.as_spec(work.record.spec).reads
            before = changed_by_hand(self._machine, self._store, reads, work.record)
            try:
                self._apply(desired, work)
            except AgentError as error:
                raise undeclared.named(error, before) from None

    def _apply(self, desired: ServiceDesired, work: Work) -> None:
        name, reads = work.record.id, self.as_spec(work.record.spec).reads
        started = False
        with self._lock:
            unit = self._load(name)
            # Asked before the start: a change during the start makes the unit stale again.
            newest = newest_change(reads)
            if desired.active == "inactive":
                self._stop(name, unit)
            self._enable(name, unit, desired.enabled)
            if desired.active == "active":
                stale = is_stale_now(unit, newest, work.record)
                started = self._bring_up(name, unit, desired, stale=stale)
        if started:
            unit = self._settled(name)
            work.record.extra["loaded"] = loaded(unit, newest)

    def remove(self, desired: ServiceDesired, record: Record, folder: Path) -> str:
        """Restore the original state of the unit.

        A unit that did not exist before our first change is stopped and disabled.
        """
        name, kept = record.id, record.original
        self._attempt.began = time.time()
        with self._lock:
            unit = self._show([name])[0]
            if unit["LoadState"] == "not-found":
                return "absent"
            was_active = kept.get("active") in RUNNING
            if not was_active:
                self._stop(name, unit)
            enabled = str(kept.get("enabled", "disabled"))
            if enabled in ("enabled", "disabled", "masked") and unit["UnitFileState"] != "static":
                self._enable(name, unit, enabled)
            if was_active and unit["ActiveState"] not in RUNNING:
                self._do("start", name)
        return "restored"

    def _show(self, names: list[str]) -> list[Unit]:
        return show(self._machine, names)

    def _load(self, name: str) -> Unit:
        unit = self._show([name])[0]
        if unit["NeedDaemonReload"] == "yes" or unit["LoadState"] == "not-found":
            self._do("daemon-reload")
            # The flag stays set, because a changed unit file takes effect only by a restart.
            unit = {**self._show([name])[0], "NeedDaemonReload": unit["NeedDaemonReload"]}
        if unit["LoadState"] == "not-found":
            raise AgentError(
                "invalid",
                f"there is no unit {name} on the host",
                prop="unit",
                hint="add the `Packages` or `File` resource that installs the unit to the `depends_on` of "
                "the service",
            )
        return unit

    def _enable(self, name: str, unit: Unit, want: str) -> None:
        have = unit["UnitFileState"]
        if have == want:
            return
        if have.startswith("masked"):
            self._do("unmask", name)
            have = self._show([name])[0]["UnitFileState"]
        if have != want == "static":
            raise AgentError(
                "systemd",
                f"the unit {name} is {have}, not static, because it has an [Install] section",
                prop="enabled",
                hint="declare the unit as enabled or disabled",
            )
        if have != want and have in ("static", "transient") and want != "masked":
            raise AgentError(
                "systemd",
                f"the unit {name} is {have}; without an [Install] section it can be neither enabled nor "
                "disabled",
                prop="enabled",
                hint="declare the timer or socket that starts this unit instead",
            )
        if have != want:
            self._do({"enabled": "enable", "disabled": "disable", "masked": "mask"}[want], name)

    def _stop(self, name: str, unit: Unit) -> None:
        if unit["ActiveState"] not in ("inactive", "failed"):
            self._do("stop", name)
        if self._show([name])[0]["ActiveState"] == "failed":
            self._do("reset-failed", name)

    def _bring_up(self, name: str, unit: Unit, desired: ServiceDesired, *, stale: bool) -> bool:
        if unit["ActiveState"] in RUNNING:
            if not stale:
                return False
            restart = (
                desired.on_change == "restart"
                or unit["CanReload"] != "yes"
                or unit["NeedDaemonReload"] == "yes"
            )
            self._do("restart" if restart else "reload", name)
            return True
        if unit["ActiveState"] == "failed":
            self._do("reset-failed", name)  # otherwise systemd's start limit could refuse the start
        self._do("restart" if unit["ActiveState"] == "activating" else "start", name)
        return True

    def _do(self, verb: str, *names: str) -> None:
        done = self._machine.run(["systemctl", "--no-pager", verb, *names], timeout=_JOB_TIMEOUT)
        if done.code:
            raise self._failed(f"the command `systemctl {' '.join((verb, *names))}` failed", names, done.text)

    def _settled(self, name: str) -> Unit:
        """Wait until the unit is active and stays active.

        Some units fail a moment after they report success.
        """
        deadline = time.monotonic() + _START_LIMIT
        since, invocation = 0.0, ""
        while True:
            unit, now = self._show([name])[0], time.monotonic()
            state = unit["ActiveState"]
            if state == "active" and unit["InvocationID"] == invocation:
                if now - since >= self._machine.settle:
                    return unit
            elif state == "active":
                if invocation:
                    raise self._failed(
                        f"the unit {name} does not keep running: systemd restarted it", (name,), ""
                    )
                since, invocation = now, unit["InvocationID"]
            elif state in ("failed", "inactive") or unit["SubState"] == "auto-restart" or now > deadline:
                why = f", {unit['Result']}" if unit.get("Result", "success") != "success" else ""
                raise self._failed(
                    f"the unit {name} does not keep running: it is {state} ({unit['SubState']}{why})",
                    (name,),
                    "",
                )
            time.sleep(self._machine.settle / 8)

    def _failed(self, message: str, names: Sequence[str], said: str) -> AgentError:
        since = self._attempt.began
        logged = [journal.last_lines(self._machine, name, since=since) for name in names]
        # The program's own lines come first: systemctl only sends people to the journal.
        detail = "\n".join(part for part in (*logged, said) if part)
        return AgentError("systemd", message, prop="active", detail=detail)


def show(machine: Machine, names: list[str]) -> list[Unit]:
    """Return systemd's properties of units, in the order of the names.

    Raises `AgentError` (``invalid``, ``unreadable``).
    """
    for name in names:
        if not NAME.match(name):
            raise AgentError(
                "invalid", f"{name!r} is not the full name of a unit, such as nginx.service", prop="unit"
            )
    argv = ["systemctl", "show", "--no-pager", f"--property={','.join(_PROPERTIES)}", "--", *names]
    done = machine.run(argv, timeout=_SHOW_TIMEOUT)
    units = parse_show(done.out)
    if done.code or len(units) != len(names):
        raise AgentError("unreadable", "systemd does not answer on the host", prop="unit", detail=done.text)
    return units


def parse_show(output: str) -> list[Unit]:
    """Parse ``systemctl show`` of several units: blocks of ``Key=value`` lines, in the requested order."""
    units = []
    for block in output.strip().split("\n\n"):
        found = dict(line.partition("=")[::2] for line in block.splitlines())
        if found:
            units.append({**dict.fromkeys(_PROPERTIES, ""), **found})
    return units


def _facts(unit: Unit, newest: int, record: Record | None) -> ServiceFacts:
    if unit["LoadState"] == "not-found":
        return ServiceFacts(exists=False)
    return ServiceFacts(
        exists=True,
        active=unit["ActiveState"],
        enabled=unit["UnitFileState"],
        stale=is_stale_now(unit, newest, record),
    )


def loaded(unit: Unit, newest: int) -> Json:
    """Return the note for a unit that has just loaded its files.

    The newest of these files changed at `newest`.
    """
    return {"invocation": unit["InvocationID"], "newest": newest}


def changed_by_hand(machine: Machine, store: Store, reads: Sequence[str], record: Record) -> list[str]:
    """Return the files of a unit that somebody else changed after our last load, if that load is known."""
    noted = record.extra.get("loaded")
    if not noted:
        return []
    with contextlib.suppress(AgentError):
        return undeclared.by_hand(machine, store, changed_since(reads, noted["newest"]))
    return []


def is_stale_now(unit: Unit, newest: int, record: Record | None) -> bool:
    """Call `is_stale` with the present time, and with the note that the record has under ``loaded``."""
    noted = record.extra.get("loaded") if record else None
    return is_stale(unit, newest, noted, *clocks())


def clocks() -> tuple[int, int]:
    """Return the present time of the wall clock and of the monotonic clock, in nanoseconds.

    On a busy host, the process may pause between two readings. So we read the clocks several times, and take
    the readings with the shortest pause.
    """
    readings = []
    for _ in range(5):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        wall = time.time_ns()
        readings.append((time.clock_gettime_ns(time.CLOCK_MONOTONIC) - before, wall, before))
    _, wall, monotonic = min(readings)
    return wall, monotonic


def is_stale(unit: Unit, newest: int, noted: Json | None, wall: int, monotonic: int) -> bool:
    """Return whether a running unit has not loaded its present files. All times are in nanoseconds.

    Args:
        unit: the output of ``systemctl show``.
        newest: the time of the last change of one of its files, by the wall clock.
        noted: our note from the last time that we made the unit load its files: its ``InvocationID`` and the
            `newest` of that time. The note is valid for that run of the unit only. A change of the clock
            cannot make the note wrong.
        wall: the present time of the wall clock.
        monotonic: the present time of the monotonic clock. systemd's timestamps use the monotonic clock, in
            microseconds.
    """
    if unit["ActiveState"] not in RUNNING:
        return False
    if noted and noted["invocation"] == unit["InvocationID"] and newest <= noted["newest"]:
        return False
    return newest > wall - (monotonic - last_load(unit) * 1000)


def last_load(unit: Unit) -> int:
    """Return when the unit last read its files, in microseconds of the monotonic clock.

    The state of a service changes at each start and at the end of each reload. A failed reload changes the
    state too, but ``ReloadResult`` shows the failure. The state of a socket or timer changes when the socket
    or timer fires.
    """
    entered = int(unit["ActiveEnterTimestampMonotonic"] or 0)
    if not unit["Id"].endswith(".service") or unit["ReloadResult"] not in ("success", ""):
        return entered
    return max(entered, int(unit["StateChangeTimestampMonotonic"] or 0))
