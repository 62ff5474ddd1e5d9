"""The benchmark fails if a figure breaks its limit, and its table shows the measured figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.measure import Run, Series
from benchmarks.report import Agent, Results, Scale, broken, table
from lab.relay import Counts


def series(name: str, *seconds: float, connections: int = 1, round_trips: int = 9) -> Series:
    counts = Counts(connections=connections, round_trips=round_trips)
    return Series(name, tuple(Run(s, counts) for s in seconds))


AGENT = Agent(memory_check=25_000_000, memory_deploy=24_000_000, survey=[0.05, 0.04], left_running=0)
SCALES = [
    Scale(f"{size} files", series(f"{size} files", 2.0, 2.5, 9.0), series("canned", 1.1, 1.4, 1.2))
    for size in (10, 500)
]
RESULTS = Results("2 cores", [series("Portcullis", 2.0, 3.0), series("other", 10.0, 15.0)], SCALES, AGENT)


def with_files(changed: Series) -> Results:
    return replace(RESULTS, scales=[SCALES[0], replace(SCALES[1], real=changed)])


def test_nothing_is_broken_within_the_bounds() -> None:
    assert broken(RESULTS) == []


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (with_files(series("500 files", 2.0, connections=2)), "500 files: 2 connections"),
        (with_files(series("500 files", 2.2)), "500 files: 1.10 s over canned answers"),
        (with_files(series("500 files", 2.0, round_trips=10)), "10 files: 9, 500 files: 10"),
        (replace(RESULTS, agent=replace(AGENT, memory_deploy=30_000_000)), "the agent used 30.0 MB"),
        (replace(RESULTS, agent=replace(AGENT, left_running=1)), "1 agent(s) still run"),
    ],
)
def test_each_bound_fails_the_run(results: Results, said: str) -> None:
    (fault,) = broken(results)
    assert said in fault


def test_the_table_compares_by_medians_with_their_ranges() -> None:
    text = table(RESULTS)
    assert "other                               12.50    10.00 - 15.00      5.0" in text
    assert "500 files      2.50 (2.00 - 9.00)     1.20 (1.10 - 1.40)     +0.90 s" in text
