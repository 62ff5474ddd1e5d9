"""Features of the host's processor, for programs that do not start without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Step
from portcullis.components.containers.facts import MISSING, PRESENT, CpuDesired, CpuFacts, CpuSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store


class Cpus(Kind[CpuSpec, CpuDesired, CpuFacts]):
    """Handles the features of the host's processor.

    The agent reads the features and refuses a program that needs a missing feature.
    """

    spec_type = CpuSpec
    desired_type = CpuDesired
    facts_type = CpuFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Remember the path of /proc/cpuinfo."""
        super().__init__(machine, store)
        self._cpuinfo = machine.proc_sys.parent / "cpuinfo"

    def facts(self, questions: Sequence[Question[CpuSpec]]) -> Answers[CpuFacts]:
        return each(self._read, questions)

    def _read(self, spec: CpuSpec, _: Record | None) -> CpuFacts:
        flags = self._flags()
        # A processor of another architecture has no such flags, and programs for that processor do not need
        # them.
        features = {name: PRESENT if flags is None or name in flags else MISSING for name in spec.features}
        return CpuFacts(exists=True, features=features)

    def plan(self, desired: CpuDesired, facts: CpuFacts) -> list[Step]:
        return [Step(f"features.{name}", MISSING, PRESENT, "refuse") for name in _missing(desired, facts)]

    def obstacle(self, desired: CpuDesired, facts: CpuFacts) -> AgentError | None:
        for name in _missing(desired, facts):
            return AgentError(
                "invalid",
                f"the host's CPU lacks {name.upper()}: {desired.reason}",
                prop=f"features.{name}",
                hint=desired.hint,
            )
        return None

    def apply(self, desired: CpuDesired, steps: list[Step], work: Work) -> None:
        """Change nothing, because `obstacle` has already refused a processor that lacks a feature."""

    def remove(self, desired: CpuDesired, record: Record, folder: Path) -> str:
        return "kept"

    def _flags(self) -> set[str] | None:
        """Return the flags of an x86 processor, or None for any other processor.

        The format is explained in proc_cpuinfo(5).
        """
        try:
            for line in self._cpuinfo.read_text("ascii", "replace").splitlines():
                key, _, value = line.partition(":")
                if key.strip() == "flags":
                    return set(value.split())
        except OSError:
            raise AgentError(
                "unreadable", f"the agent cannot read {self._cpuinfo} on the host", prop="features"
            ) from None
        return None


def _missing(desired: CpuDesired, facts: CpuFacts) -> list[str]:
    return [name for name in sorted(desired.features) if facts.features.get(name) != PRESENT]
