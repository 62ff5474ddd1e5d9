"""Whole states: the official plugin always writes every property, set or not.

Terraform's older SDK keeps what was planned as null until a Read has seen it, so states right after a create differ
from those after a refresh, though nothing changed. The recordings show which property does what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.plugins.values import UNKNOWN, Properties, is_empty, is_unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.plugins.fields import Field


def planned(fields: Mapping[str, Field], inputs: Properties, *, unknowns: bool = False) -> Properties:
    """The state before the provider has filled anything in; `unknowns` marks what only the real thing will tell."""
    state: Properties = {}
    for key, known in fields.items():
        value = inputs.get(key)
        if value is None:
            if unknowns and (known.output or known.computed):
                state[key] = UNKNOWN
            elif known.default is not None:
                state[key] = known.default
            else:
                state[key] = [] if _list_of_objects(known) and not known.output else None
        else:
            state[key] = _complete(known, value)
    return state


def created(fields: Mapping[str, Field], inputs: Properties, facts: Properties) -> Properties:
    """The state after a create: facts, but what was planned stays as it was planned, and planned nulls stay null."""
    state = planned(fields, inputs)
    for key, fact in facts.items():
        known = fields[key]
        if key in inputs and known.kind in ("set", "object", "map") and key not in ("mustRun",):
            state[key] = state[key] if key != "capabilities" else _complete(known, fact)
        elif is_empty(fact) and known.kind in ("set", "map", "list") and not known.computed and state[key] is None:
            continue
        else:
            state[key] = fact
    return state


def refreshed(fields: Mapping[str, Field], stored: Properties, facts: Properties) -> Properties:
    """The state after a refresh: the stored one with the facts over it."""
    return {key: stored.get(key) for key in fields} | {
        key: _with_zeros(fields[key], value, stored.get(key)) for key, value in facts.items()
    }


def _list_of_objects(known: Field) -> bool:
    return known.item is not None and known.item.kind == "object"


def _complete(known: Field, value: Any) -> Any:
    """A value with all parts of its objects present and without the marks of Check."""
    if is_unknown(value):
        return value
    if known.kind == "object":
        return {key: _complete_part(part, value.get(key)) for key, part in known.fields.items()}
    if known.item is not None and known.kind != "map":
        return [_complete(known.item, item) for item in value]
    return value


def _complete_part(part: Field, value: Any) -> Any:
    if value is None:
        return _nothing(part)
    return _complete(part, value)


def _nothing(part: Field) -> Any:
    if part.kind in ("set", "list"):
        return []
    return part.default


def _with_zeros(known: Field, value: Any, stored: Any) -> Any:
    del known, stored
    return value
