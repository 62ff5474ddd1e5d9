"""Wait until nginx sends no more requests to former upstreams.

After a reload, nginx's former workers finish their requests with the former upstreams and then exit. If the
deploy removed a container earlier, running requests would be cut off.
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

_TICK = 0.05  # seconds: the kernel counts a process's age in hundredths of a second


class Drains(Kind[DrainSpec, DrainDesired, DrainFacts]):
    """The agent's code for resources of the kind `nginx.drains`.

    A drain leaves nothing on the host, so it cannot drift.
    """

    spec_type = DrainSpec
    desired_type = DrainDesired
    facts_type = DrainFacts

    def facts(self, questions: Sequence[Question[DrainSpec]]) -> Answers[DrainFacts]:
        return [DrainFacts(exists=True) for _ in questions]

    def plan(self, desired: DrainDesired, facts: DrainFacts) -> list[Step]:
        return []

    def apply(self, desired: DrainDesired, steps: list[Step], work: Work) -> None:
        """Wait for former workers, at most `desired.seconds`.

        Longer requests, such as WebSockets, end when the deploy removes the old container.
        """
        changed = newest_change([desired.reads]) / 10**9
        deadline = time.monotonic() + float(desired.seconds)
        while self._has_former_workers(desired.service, changed) and time.monotonic() < deadline:
            if self._machine.alone.wait(self._machine.settle / 4):
                return

    def remove(self, desired: DrainDesired, record: Record, folder: Path) -> str:
        return "kept"

    def _has_former_workers(self, service: str, changed: float) -> bool:
        """Return whether a worker from before the change still runs, even if the worker is shutting down."""
        main = nginx_workers.main_process(self._machine, service)
        return any(
            worker.leaving or time.time() - worker.age < changed - _TICK
            for worker in nginx_workers.workers(self._machine.proc_sys.parent, main)
        )
