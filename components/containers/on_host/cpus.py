"""What the host's processor can do, for programs that do not start without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.agent.errors import HostError
from portcullis.agent.kind import Kind
from portcullis.agent.step import Json, Step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store

PRESENT, MISSING = "present", "missing"


class Cpus(Kind[Json, Json, Json]):
    """The kind ``cpu``: nothing that could be changed, only read and refused."""

    def __init__(self, machine: Machine, store: Store) -> None:
        """Read nothing yet."""
        super().__init__(machine, store)
        self._cpuinfo = machine.proc_sys.parent / "cpuinfo"

    def spec(self, item: str, desired: Json) -> Json:
        return {"features": sorted(desired["features"])}

    def facts(self, questions: Sequence[Question[Json]]) -> Answers[Json]:
        flags = self._flags()
        # A processor of another make has no such flags at all, and what needs them is built otherwise for it.
        return [
            {
                "exists": True,
                "features": {
                    name: PRESENT if flags is None or name in flags else MISSING for name in spec["features"]
                },
            }
            for spec, _ in questions
        ]

    def plan(self, desired: Json, facts: Json) -> list[Step]:
        return [
            Step(f"features.{name}", MISSING, PRESENT, "refuse")
            for name in sorted(desired["features"])
            if facts["features"].get(name) != PRESENT
        ]

    def obstacle(self, desired: Json, facts: Json) -> HostError | None:
        for name in sorted(desired["features"]):
            if facts["features"].get(name) != PRESENT:
                return HostError(
                    "invalid",
                    f"the host's CPU lacks {name.upper()}: {desired['reason']}",
                    prop=f"features.{name}",
                    hint=desired["hint"],
                )
        return None

    def is_unmodified_default(self, item: str, facts: Json) -> bool:
        return True

    def original(self, item: str, facts: Json, folder: Path) -> Json:
        return {}

    def apply(self, desired: Json, steps: list[Step], work: Work) -> None:
        """There is nothing to do: what is missing was refused."""

    def remove(self, desired: Json, record: Record, folder: Path) -> str:
        return "kept"

    def _flags(self) -> set[str] | None:
        """The flags of an x86 processor; None for any other. proc_cpuinfo(5)."""
        try:
            for line in self._cpuinfo.read_text("ascii", "replace").splitlines():
                key, _, value = line.partition(":")
                if key.strip() == "flags":
                    return set(value.split())
        except OSError:
            raise HostError("unreadable", f"{self._cpuinfo} cannot be read", prop="features") from None
        return None
