"""Measures a preview of many sites on one host, 50 ms away."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import graph
from benchmarks.measure import timed
from benchmarks.program import Program
from benchmarks.target import target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_RUNS = 3


@dataclass(frozen=True, slots=True)
class Preview:
    """The seconds of each preview without a change, of the first `up`, and of an `up` that adds a site."""

    sites: int
    checks: Sequence[float]
    first: float
    one_more: float

    @property
    def seconds(self) -> float:
        """The median of the previews' seconds."""
        return statistics.median(self.checks)


def measured(folder: Path, sites: int) -> Preview:
    """Deploy this number of sites to a host of the lab, and preview them.

    Raises:
        BenchmarkError: the engine failed, or a preview found a difference.
        LabError: the host cannot be created.
    """
    with target() as host:
        program = Program(folder, host, "sites")
        first = timed(lambda: program.deploy(graph.sites(sites)), host.near).seconds
        checks = [timed(program.check, host.far).seconds for _ in range(_RUNS)]
        begun = time.monotonic()
        program.deploy(graph.sites(sites + 1))
        return Preview(sites, checks, first, time.monotonic() - begun)
