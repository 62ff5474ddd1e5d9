"""Which of the many changes by hand one run tries one by one: some, drawn by a seed.

`DRILL=N` draws others; `make drill-inventory` tries them all.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

VARIABLE = "DRILL"
ALL = "all"
SOME = 6

SEED = "21"
"""`make test` tries the same ones each time. So it is not red for a fault that is older than the change.

`make test-all` draws others each night, and prints its seed (tools/gate.py).
"""

# Workers inherit it, so that all draw the same ones.
os.environ.setdefault(VARIABLE, SEED)


def is_whole() -> bool:
    """Return whether all is asked for."""
    return os.environ[VARIABLE] == ALL


def drawn(names: Collection[str]) -> list[str]:
    """Return the names of this run: all, or six."""
    if is_whole():
        return list(names)
    return sorted(random.Random(os.environ[VARIABLE]).sample(sorted(names), SOME))  # noqa: S311 - nothing is secret


def header() -> str:
    """Say how to draw the same ones again."""
    return f"changes by hand: {VARIABLE}={os.environ[VARIABLE]}"
