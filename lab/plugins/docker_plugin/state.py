"""Builds whole states, because the official plugin always writes every property, even an unset one.

If a value is null in the plan, Terraform's older SDK keeps it null until the first Read. So the state after a
create differs from the state after a refresh, although nothing has changed. The recorded calls in
tests/contract show this difference for each property.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.plugins.values import UNKNOWN, Properties, is_unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.plugins.fields import Field

_ZEROS = {"int": 0, "bool": False}


def planned(fields: Mapping[str, Field], inputs: Properties, *, unknowns: bool = False) -> Properties:
    """Return the state of a plan, before the provider fills in values.

    With `unknowns`, a value that the provider will fill in is unknown.
    """
    state: Properties = {}
    for key, known in fields.items():
        filled_in = known.output or known.computed
        if inputs.get(key) is not None and not (unknowns and filled_in and inputs[key] == []):
            state[key] = _complete(known, inputs[key])
        elif unknowns and filled_in:
            state[key] = UNKNOWN
        elif known.default is not None:
            state[key] = known.default
        else:
            starts_empty = _is_block(known) or (known.kind == "set" and known.computed)
            state[key] = [] if starts_empty and not known.output else None
    return state


def created(fields: Mapping[str, Field], inputs: Properties, facts: Properties) -> Properties:
    """Return the state after a create, with Docker's facts.

    Sets, maps, objects and nulls are those of the plan.
    """
    state = planned(fields, inputs)
    for key, fact in facts.items():
        known = fields[key]
        as_planned = key in inputs and known.kind in ("set", "object", "map")
        stays_null = state[key] is None and known.kind in ("set", "map") and not fact and not known.computed
        if not as_planned and not stays_null:
            state[key] = fact
    return state


def refreshed(fields: Mapping[str, Field], stored: Properties, facts: Properties) -> Properties:
    """Return the state after a refresh: the stored state, overwritten with the facts."""
    state = {key: stored.get(key) for key in fields} | facts
    for key, known in fields.items():
        items = state[key]
        if known.kind == "set" and _is_block(known) and isinstance(items, list):
            state[key] = [_with_zeros(known, item) for item in _complete(known, items)]
    return state


def updated(
    fields: Mapping[str, Field], stored: Properties, inputs: Properties, changed: set[str]
) -> Properties:
    """Return the state after a change in place. The stand-in does not read the Docker object again."""
    after = planned(fields, inputs)
    return {key: after[key] if key in changed else stored.get(key) for key in fields}


def _is_block(known: Field) -> bool:
    """Return whether a property is a list or set of objects.

    In Terraform, a list of objects is never null.
    """
    return known.item is not None and known.item.kind == "object"


def _complete(known: Field, value: Any) -> Any:
    """Return a value with all parts of its objects, and without the `__defaults` lists that Check adds."""
    if is_unknown(value):
        return value
    if known.kind == "object":
        return {
            key: _nothing(part) if value.get(key) is None else _complete(part, value[key])
            for key, part in known.fields.items()
        }
    if known.item is not None and known.kind != "map":
        return [_complete(known.item, item) for item in value]
    return value


def _nothing(part: Field) -> Any:
    if part.kind in ("set", "list"):
        return []
    return "" if part.kind == "text" and part.default is None else part.default


def _with_zeros(known: Field, item: Properties) -> Properties:
    """Return an element of a set as Terraform stores it: unset numbers are 0, unset flags are false."""
    assert known.item is not None  # noqa: S101 - a block has elements
    zeros = {key: _ZEROS[part.kind] for key, part in known.item.fields.items() if part.kind in _ZEROS}
    return {key: zeros.get(key) if value is None else value for key, value in item.items()}
