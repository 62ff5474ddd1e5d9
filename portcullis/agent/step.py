"""The differences between the declared state and the facts, one property at a time."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

WARN = "warn"
"""The action of a step that only reports a difference.

A step with this action changes nothing on the host.
"""
DIFF_LINES = 60
DIFF_COLUMNS = 300


@dataclass(frozen=True)
class Step:
    """One difference between the declared state and the host.

    `have` and `want` are short and never quote the content of a file; `detail` may quote it.
    """

    prop: str
    have: str
    want: str
    action: str
    detail: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the step in the JSON form that the client gets."""
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
    """Return whether a property is as declared.

    If owner or group is declared by number, the numbers are compared.
    """
    number = _of(facts, f"{prop}_id")
    if number is not None and str(declared).isdecimal():
        return bool(number == str(declared))
    return bool(_of(facts, prop) == declared)


def _of(thing: object, prop: str, default: object = None) -> Any:
    return getattr(thing, prop, default)


def text_diff(have: str, want: str, path: str) -> str:
    """Return a unified diff that fits on a screen. The lines with - are those of the host."""
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
