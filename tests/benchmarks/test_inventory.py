"""The inventory's benchmark fails if a figure breaks its limit, and its table has every figure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.inventory import Results, broken, table

RESULTS = Results(
    files=2000,
    with_inventory=[0.10, 0.14, 0.30],
    without=[0.05, 0.07, 0.10],
    memory=24_000_000,
    walk=2.34,
    quiet=[2.0, 2.5],
    hostile=[3.5, 3.0],
)


def test_nothing_is_broken_within_the_bounds() -> None:
    assert broken(RESULTS) == []


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (replace(RESULTS, files=1999), "/etc had 1999 files only"),
        (replace(RESULTS, with_inventory=[0.20, 0.36, 0.60]), "took 5.14 times as long"),
        (replace(RESULTS, memory=30_000_000), "the agent used 30.0 MB"),
        (replace(RESULTS, hostile=[3.1, 4.0]), "took 1.55 times as long"),
    ],
)
def test_each_bound_fails_the_run(results: Results, said: str) -> None:
    (fault,) = broken(results)
    assert said in fault


def test_the_table_tells_with_and_without_their_ratio_and_the_walk() -> None:
    text = table(RESULTS)
    assert "140 ms (100 - 300)" in text
    assert "70 ms (50 - 100); 2.00 times" in text
    assert "24.0 MB" in text
    assert "2.3 s" in text
    assert "2.00 s (2.00 - 2.50)" in text
    assert "3.00 s (3.00 - 3.50); 1.50 times" in text
