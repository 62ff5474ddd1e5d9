"""Pure functions that plan the steps from the facts of a user to the declared user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.agent.step import Step, compare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.users.facts import UserDesired, UserFacts

_SHOWN = 80  # characters of a key that a step shows


def steps(desired: UserDesired, facts: UserFacts) -> list[Step]:
    """The steps to the declared user."""
    if not facts.exists:
        return [Step("user", "absent", desired.user, "create")]
    found = _by_name("keys", desired.keys, facts.keys, "keys")
    # The facts report no fault for missing files, so an account without keys needs no step.
    found += compare(desired, facts, ("key_files",), "keys")
    found += compare(desired, facts, ("password", "shell", "sudo"), "set")
    found += compare(desired, facts, ("sessions",), "end")
    if desired.groups is not None:
        found += _by_name("groups", desired.groups, facts.groups or {}, "groups")
    return found


def _by_name(prop: str, desired: Mapping[str, str], live: Mapping[str, str], action: str) -> list[Step]:
    """A step for each name whose declared value differs from the value on the host."""
    return [
        Step(f"{prop}.{name}", _short(live.get(name)), _short(desired.get(name)), action)
        for name in sorted({*desired, *live})
        if desired.get(name) != live.get(name)
    ]


def _short(value: str | None) -> str:
    """A value, or the end of a long key, which contains the comment."""
    return "absent" if value is None else value if len(value) <= _SHOWN else f"…{value[-_SHOWN:]}"


def can_lock_out(step: Step) -> bool:
    """Return whether a step could lock out somebody who can log in now."""
    if step.prop.startswith(("keys.", "groups.")):
        return step.have != "absent"
    return step.prop in ("key_files", "password", "shell") or (step.prop == "sudo" and step.want == "False")
