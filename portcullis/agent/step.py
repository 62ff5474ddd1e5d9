"""The differences between the declared state and the facts, one property at a time."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

WARN = "warn"
"""The action of a step that only reports. It changes nothing on the host."""
DIFF_LINES = 60
DIFF_COLUMNS = 300


@dataclass(frozen=True)
class Step:
    """One difference to remove. `have` and `want` are short and quote no file's content; `detail` may."""

    prop: str
    have: str
    want: str
    action: str
    detail: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the step as the client gets it."""
        return {
            "property": self.prop,
            "have": self.have,
            "want": self.want,
            "action": self.action,
            "detail": self.detail,
        }


def compare(desired: object, facts: object, props: tuple[str, ...], action: str) -> list[Step]:
    """Return a step for each of `props` that is declared and differs on the host."""
    return [
        Step(prop, str(_of(facts, prop, "")), str(_of(desired, prop)), action)
        for prop in props
        if _of(desired, prop) is not None and not _is(_of(desired, prop), prop, facts)
    ]


def _is(declared: object, prop: str, facts: object) -> bool:
    """Return whether a property is as declared. An owner or group given by number is compared by number."""
    number = _of(facts, f"{prop}_id")
    if number is not None and str(declared).isdecimal():
        return bool(number == str(declared))
    return bool(_of(facts, prop) == declared)


def _of(thing: object, prop: str, default: object = None) -> Any:
    return getattr(thing, prop, default)


def text_diff(have: str, want: str, path: str) -> str:
    """Return a unified diff that fits on a screen. The text on the host is the old side."""
    lines = [
        line[:DIFF_COLUMNS]
        for line in difflib.unified_diff(
            have.splitlines(), want.splitlines(), f"{path} (on the host)", f"{path} (declared)", lineterm=""
        )
    ]
    if not lines and have != want:
        return "only the line ends differ (a missing last newline, or CR LF)"
    if len(lines) > DIFF_LINES:
        lines[DIFF_LINES:] = [f"… and {len(lines) - DIFF_LINES} more lines of difference"]
    return "\n".join(lines)
