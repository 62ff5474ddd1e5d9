"""Makes the inputs for the answer to Read. They are the stored inputs, updated with the real values.

A property that the program never set is not added to these inputs. If the stored and the real value mean the
same, the stored form stays. So a refresh of an unchanged resource changes nothing. A refresh of a drifted
resource shows exactly the drifted properties.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.plugins.diff import differences
from lab.plugins.values import Properties, is_empty

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.plugins.fields import Field


def read_inputs(fields: Mapping[str, Field], stored: Properties, state: Properties) -> Properties:
    """The stored inputs brought up to date with a state that was just read."""
    changed = {difference.top for difference in differences(fields, state, stored)}
    result: Properties = {}
    for key, value in stored.items():
        if key in changed:
            fresh = _refreshed(fields[key], value, state.get(key))
            if fresh is not None:
                result[key] = fresh
        else:
            result[key] = value
    if "__defaults" in result:
        result["__defaults"] = [key for key in result["__defaults"] if key not in changed]
    return result


def _refreshed(known: Field, stored: Any, actual: Any) -> Any:
    if known.kind == "object" and isinstance(actual, dict) and isinstance(stored, dict):
        return read_inputs(known.fields, stored, actual) | _newly_set(known.fields, stored, actual)
    if known.item is not None and isinstance(actual, list):
        old = stored if isinstance(stored, list) else []
        return [_item(known.item, old[i] if i < len(old) else None, item) for i, item in enumerate(actual)]
    return actual


def _item(known: Field, stored: Any, actual: Any) -> Any:
    if known.kind != "object":
        return actual
    return (
        {"__defaults": []} | _newly_set(known.fields, {}, actual)
        if stored is None
        else _refreshed(known, stored, actual)
    )


def _newly_set(fields: Mapping[str, Field], stored: Properties, actual: Properties) -> Properties:
    return {
        key: value
        for key, value in actual.items()
        if key in fields and key not in stored and not is_empty(value)
    }
