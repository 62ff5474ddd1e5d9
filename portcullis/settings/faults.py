"""What is wrong with the settings: one fault a line, all of them at once."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMESPACE = "portcullis"
"""What the keys of this program begin with in a stack's file."""
_LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where it stands, what is wrong with it, and what would be right."""

    path: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        """`path: reason; hint`."""
        return f"{self.path}: {self.reason}" + (f"; {self.hint}" if self.hint else "")


class SettingsError(Exception):
    """The settings of a stack cannot be used. The text names every fault and is meant for people."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        """Keep the faults in the order in which they were found."""
        self.faults = tuple(faults)
        count = "a fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__(
            "\n".join([f"The settings of this stack have {count}:", *(f"  {fault}" for fault in self.faults)])
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the settings a value stands, and the list that its faults go to.

    `secret` is true under a key that Pulumi keeps encrypted: values from there are never shown.
    """

    path: str
    faults: list[Fault] = field(default_factory=list)
    secret: bool = False

    def key(self, name: str) -> Place:
        """Where the entry `name` of this map stands."""
        return Place(f"{self.path}.{name}", self.faults, self.secret)

    def item(self, index: int) -> Place:
        """Where one element of this list stands."""
        return Place(f"{self.path}[{index}]", self.faults, self.secret)

    def refuse(self, raw: Any, reason: str, hint: str = "") -> None:
        """Report a value: `reason` follows the value, as in `70000 is not a port`."""
        self.report(f"{self._shown(raw)} {reason}", hint)

    def report(self, reason: str, hint: str = "") -> None:
        """Report a fault that is not about one value."""
        self.faults.append(Fault(self.path, reason, hint))

    def _shown(self, raw: Any) -> str:
        if self.secret:
            return "this value (a secret)"
        text = json.dumps(raw, ensure_ascii=False, default=str)
        return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def closest(word: str, known: Iterable[str]) -> str:
    """A hint for a word that is none of the known ones: the one that was probably meant, or all of them."""
    names = sorted(known)
    folded = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), folded, n=1)
    if near:
        return f"did you mean {folded[near[0]]}?"
    return f"known are {', '.join(names)}" if names else "there are none"
