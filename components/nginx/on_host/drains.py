"""Waiting until nginx sends nobody to a former upstream any more.

After a reload its former workers serve the requests that they have, to the upstreams of before, and end. A
container that is taken away earlier takes those requests with it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from portcullis.agent import nginx_workers
from portcullis.agent.kind import Kind
from portcullis.agent.watch import newest_change
from portcullis.components.nginx.facts import DrainDesired, DrainFacts, DrainSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.step import Step
    from portcullis.agent.store import Record

_TICK = 0.05  # seconds: the kernel counts in hundredths


class Drains(Kind[DrainSpec, DrainDesired, DrainFacts]):
    """Drains: nothing on the host is theirs, and nothing of them can drift."""

    spec_type = DrainSpec
    desired_type = DrainDesired
    facts_type = DrainFacts

    def facts(self, questions: Sequence[Question[DrainSpec]]) -> Answers[DrainFacts]:
        return [DrainFacts(exists=True) for _ in questions]

    def plan(self, desired: DrainDesired, facts: DrainFacts) -> list[Step]:
        return []

    def apply(self, desired: DrainDesired, steps: list[Step], work: Work) -> None:
        """Requests that are not done when the time is over, such as a WebSocket, are cut off."""
        changed = newest_change([desired.reads]) / 10**9
        deadline = time.monotonic() + float(desired.seconds)
        while self._former(desired.service, changed) and time.monotonic() < deadline:
            if self._machine.alone.wait(self._machine.settle / 4):
                return

    def remove(self, desired: DrainDesired, record: Record, folder: Path) -> str:
        return "kept"

    def _former(self, service: str, changed: float) -> bool:
        """Whether a worker of before the change is left: one that is leaving, or has not been told yet."""
        main = nginx_workers.main_process(self._machine, service)
        return any(
            worker.leaving or time.time() - worker.age < changed - _TICK
            for worker in nginx_workers.workers(self._machine.proc_sys.parent, main)
        )
