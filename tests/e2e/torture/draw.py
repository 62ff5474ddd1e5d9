"""Which deed is cut off, by what and when: drawn from the seed and the number of the round."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests import drill

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# In a run of all tests it is the fixed seed of the other drill.
SEED = os.environ.get("SEED") or os.environ[drill.VARIABLE]
FIRST = int(os.environ.get("FROM") or 1)
KILLS = int(os.environ.get("KILLS") or 0)

DEEDS = {"update": 28, "release": 18, "rotate": 14, "add": 18, "restore": 10, "up": 6, "destroy": 6}
"""How often each is drawn. `up` and `destroy` are those of the whole host, which take the longest."""
VICTIMS = {"engine": 20, "plugin": 20, "agent": 20, "ssh": 16, "dockerd": 12, "host": 12}
TROUBLES = {"full": 1, "read-only": 1, "delay": 1, "lose": 1, "cut": 1}
EACH = 5
"""A round with trouble follows this many with a kill."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round. `moment` says when the victim is struck, from 0 (the deed's begin) to 1 (its usual end)."""

    number: int
    what: str
    victim: str
    deed: str
    moment: float

    def __str__(self) -> str:
        return f"{self.what}-{self.number}-{self.victim}-during-{self.deed}-at-{self.moment:.2f}"

    def dice(self) -> random.Random:
        """Return dice for what else is drawn in this round, always the same."""
        return random.Random(f"{SEED}/{self}")  # noqa: S311 - nothing is secret


def drawn(what: str, number: int, victims: Mapping[str, int], deeds: Mapping[str, int] = DEEDS) -> Round:
    """Return a round of a kind, such as `kill`, by its number."""
    dice = random.Random(f"{SEED}/{what}/{number}")  # noqa: S311 - nothing is secret
    deed, victim = (dice.choices(list(of), list(of.values()))[0] for of in (deeds, victims))
    if (deed, victim) == ("restore", "plugin"):
        victim = "agent"  # a restore has none
    return Round(number, what, victim, deed, dice.random())


def rounds() -> Iterator[Round]:
    """Yield the rounds of this run."""
    for number in range(FIRST, KILLS + 1):
        yield drawn("kill", number, VICTIMS)
        if number % EACH == 0:
            yield drawn("trouble", number // EACH, TROUBLES)
