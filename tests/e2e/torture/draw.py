"""Chooses what happens in each round, by the seed and the number of the round.

A deed is the operation that runs, such as a restore. A victim is what the round kills or breaks meanwhile.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests import drill

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Without SEED it is the seed of the inventory drill. Workers inherit it, so that all choose the same rounds.
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
    """One round of the drill.

    `moment` says when the test kills or breaks the victim: 0 is the start of the deed, 1 its usual end.
    """

    number: int
    what: str
    victim: str
    deed: str
    moment: float

    def __str__(self) -> str:
        return f"{self.what}-{self.number}-{self.victim}-during-{self.deed}-at-{self.moment:.2f}"

    def dice(self) -> random.Random:
        """Return the random generator for further choices in this round, always in the same state."""
        return random.Random(f"{SEED}/{self}")  # noqa: S311 - nothing is secret


def drawn(what: str, number: int, victims: Mapping[str, int], deeds: Mapping[str, int] = DEEDS) -> Round:
    """Choose the round with a number. `what` is the kind of the round, such as `kill`."""
    dice = random.Random(f"{SEED}/{what}/{number}")  # noqa: S311 - nothing is secret
    deed, victim = (dice.choices(list(of), list(of.values()))[0] for of in (deeds, victims))
    if (deed, victim) == ("restore", "plugin"):
        victim = "agent"  # a restore runs no plugin
    return Round(number, what, victim, deed, dice.random())


def rounds() -> Iterator[Round]:
    """Yield the rounds of this run."""
    for number in range(FIRST, KILLS + 1):
        yield drawn("kill", number, VICTIMS)
        if number % EACH == 0:
            yield drawn("trouble", number // EACH, TROUBLES)
