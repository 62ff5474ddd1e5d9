"""The check of nginx on the host: nginx runs on its present files, and each site answers."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from portcullis.agent import journal, nginx_workers, undeclared
from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Json, Step
from portcullis.agent.watch import newest_change
from portcullis.components.nginx.facts import (
    SERVED,
    ServedSitesDesired,
    ServedSitesFacts,
    ServedSitesSpec,
)
from portcullis.components.nginx.on_host import nginx_undeclared, site_probe
from portcullis.resources.service import on_host as services

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store
    from portcullis.components.nginx.facts import Probe
    from portcullis.resources.service.on_host import Unit

_TEST_TIMEOUT = 60.0
_JOB_TIMEOUT = 180.0
_WAIT = 10.0  # in units of the machine's settling time, which is a second on a real host
_LINES = 10
_NAMED = 10  # sites in one message
# Lines of lower levels are about visitors, and not about the configuration.
_GRAVE = ("[emerg]", "[alert]", "[crit]", "[warn]")


@dataclass(frozen=True)
class _Found(ServedSitesFacts):
    """The facts, and data that only the code on the host needs.

    Attributes:
        marks: a digest of every undeclared file, reported or not.
    """

    marks: Mapping[str, str] = field(default_factory=dict)


class ServedSites(Kind[ServedSitesSpec, ServedSitesDesired, _Found]):
    """The agent's code for resources of the kind `nginx.served_sites`.

    The id of such a resource is the name of nginx's unit.
    """

    spec_type = ServedSitesSpec
    desired_type = ServedSitesDesired
    facts_type = ServedSitesFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Take nginx's ports from `machine`."""
        super().__init__(machine, store)
        self._ports = site_probe.Ports(machine.http, machine.https)
        self._lock = threading.Lock()

    def facts(self, questions: Sequence[Question[ServedSitesSpec]]) -> Answers[_Found]:
        return each(self._facts, questions)

    def _facts(self, spec: ServedSitesSpec, record: Record | None) -> _Found:
        unit = services.show(self._machine, [spec.unit])[0]
        stale = services.is_stale_now(unit, newest_change(spec.reads), record)
        found = nginx_undeclared.read(self._machine, self._store)
        told = undeclared.told(found, record, spec.accepted)
        # `nginx -t` takes as long as all the rest. nginx has accepted the files that it runs on, so we test
        # only newer files.
        tested = unit["LoadState"] != "not-found" and (stale or unit["ActiveState"] not in services.RUNNING)
        return _Found(
            exists=True,
            sites=self._sites(spec.probes, unit),
            stale=stale,
            broken=nginx_undeclared.refusal(self._machine) if tested else "",
            undeclared=undeclared.texts(told),
            fixes=undeclared.fixes(told),
            marks=undeclared.marks(found),
        )

    def _sites(self, probes: Mapping[str, Probe], unit: Unit) -> dict[str, str]:
        if unit["LoadState"] == "not-found":
            return dict.fromkeys(probes, "nginx is not installed")
        if unit["ActiveState"] not in services.RUNNING:
            return dict.fromkeys(probes, f"nginx does not run: it is {unit['ActiveState']}")
        return site_probe.ask(probes, self._ports)

    def plan(self, desired: ServedSitesDesired, facts: _Found) -> list[Step]:
        steps = [Step("broken", facts.broken, "", "reload")] if facts.broken else []
        steps += [Step("stale", "True", "False", "reload")] if facts.stale else []
        for name in sorted(desired.sites):
            have = facts.sites.get(name, "not checked")
            if have != SERVED:
                steps.append(Step(f"sites.{name}", have, SERVED, "reload"))
        return steps + undeclared.steps(facts.undeclared)

    def is_unmodified_default(self, item: str, facts: _Found) -> bool:
        """Return True: a reload replaces no file, because every file belongs to a resource of its own."""
        return True

    def original(self, item: str, facts: _Found, folder: Path) -> Json:
        return {undeclared.KEPT: dict(facts.marks)}

    def accept(self, desired: ServedSitesDesired, facts: _Found, record: Record) -> None:
        undeclared.hold(record, desired.accepted, facts.marks)

    def claims(self, record: Record) -> Claims:
        return Claims(trees=(str(self._machine.etc / "nginx"),))

    def redacted(self, record: Record, facts: _Found) -> _Found:
        """Reduce nginx's message to the place of the fault.

        The message quotes a file that may contain a secret.
        """
        return replace(facts, broken=nginx_undeclared.place_only(facts.broken)) if facts.broken else facts

    def apply(self, desired: ServedSitesDesired, steps: list[Step], work: Work) -> None:
        """Reload nginx. A restart would cut off every visitor of every site."""
        if not steps:
            return
        unit, spec = desired.unit, desired.spec()
        by_hand = services.changed_by_hand(self._machine, self._store, spec.reads, work.record)
        try:
            self._reload(unit, spec, work)
        except AgentError as error:
            raise undeclared.named(error, by_hand) from None

    def _reload(self, unit: str, spec: ServedSitesSpec, work: Work) -> None:
        # nginx confirms a reload before it loads the files. So no file may go before every site was checked.
        with self._machine.readers.reading(), self._lock:
            self._test()
            # We take this time before the reload: a file that changes during the reload makes nginx stale
            # again.
            newest = newest_change(spec.reads)
            logged, since = self._log_size(), time.time()
            state = services.show(self._machine, [unit])[0]["ActiveState"]
            former = nginx_workers.serving(self._machine, unit)
            self._reload_or_start(unit, state)
            self._await(spec, former if state in services.RUNNING else set(), (logged, since))
            work.record.extra["loaded"] = services.loaded(services.show(self._machine, [unit])[0], newest)

    def _test(self) -> None:
        done = self._machine.run(["nginx", "-t"], timeout=_TEST_TIMEOUT)
        if done.code:
            raise AgentError(
                "refused",
                f"nginx refuses its configuration: {nginx_undeclared.useful_line(done.text)}",
                prop="stale",
                hint="correct the file that nginx's message names; nginx still serves its former "
                "configuration",
            )

    def _reload_or_start(self, unit: str, state: str) -> None:
        since = time.time()
        if state == "failed":
            # Without this, systemd's start limit could refuse the start.
            self._systemctl("reset-failed", unit, since)
        self._systemctl("reload" if state in services.RUNNING else "start", unit, since)

    def _systemctl(self, verb: str, unit: str, since: float) -> None:
        done = self._machine.run(["systemctl", "--no-pager", verb, unit], timeout=_JOB_TIMEOUT)
        if done.code:
            raise AgentError(
                "systemd",
                f"the command `systemctl {verb} {unit}` failed",
                prop="stale",
                detail="\n".join(
                    part
                    for part in (journal.last_lines(self._machine, unit, _LINES, since=since), done.text)
                    if part
                ),
            )

    def _await(self, spec: ServedSitesSpec, former: set[int], begun: tuple[int, float]) -> None:
        """Wait until no worker takes requests with the former configuration, and nginx serves every site.

        nginx confirms a reload before it loads the files. If the reload then fails, for example at a taken
        port, nginx keeps the former configuration, and only its log says so.
        """
        deadline = time.monotonic() + _WAIT * self._machine.settle
        unit, probes = spec.unit, spec.probes
        while True:
            left = former & nginx_workers.serving(self._machine, unit)
            if not left:
                found = site_probe.ask(probes, self._ports)
                probes = {name: probe for name, probe in probes.items() if found[name] != SERVED}
                if not probes:
                    return
            if time.monotonic() > deadline or self._machine.alone.wait(self._machine.settle / 20):
                break
        logged, since = begun
        detail = self._logged(logged) or journal.last_lines(self._machine, unit, _LINES, since=since)
        if left:
            raise AgentError(
                "not-converged",
                "nginx did not load its new configuration, and still serves its former configuration",
                prop="stale",
                hint=(
                    "nginx's last messages say why; `nginx -t` does not find every fault, such as a port "
                    "that "
                    "another program uses"
                ),
                detail=detail,
            )
        names = sorted(probes)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise AgentError(
            "not-served",
            f"nginx does not serve {len(names)} of {len(spec.probes)} sites after the reload:"
            f" {', '.join(names[:_NAMED])}{more}",
            prop=f"sites.{names[0]}",
            hint="nginx serves the other sites; `nginx -T` shows the configuration as nginx reads it",
            detail="\n".join([*(f"{name}: {found[name]}" for name in names[:_NAMED]), detail]).rstrip(),
        )

    def _log_size(self) -> int:
        try:
            return self._machine.nginx_log.stat().st_size
        except OSError:
            return 0

    def _logged(self, since: int) -> str:
        """Return the serious errors that nginx's log has after the byte `since`."""
        try:
            with self._machine.nginx_log.open("rb") as file:
                file.seek(since)
                lines = file.read(1 << 20).decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return "\n".join([line for line in lines if any(level in line for level in _GRAVE)][-_LINES:])

    def remove(self, desired: ServedSitesDesired, record: Record, folder: Path) -> str:
        return "kept"
