"""Validation of component arguments, with the same forms as the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from portcullis.settings.faults import Fault, Place

if TYPE_CHECKING:
    from portcullis.settings.kinds import Kind


def validate(owner: object, kinds: dict[str, Kind[Any]], values: dict[str, Kind[Any]] | None = None) -> None:
    """Check the named attributes of an arguments object.

    None passes, for what may be left out. Of a map `kinds` checks the keys, and `values` what they lead to
    where that has no type of its own.

    Raises:
        ValueError: with every fault, each naming the attribute, the value and what would be right.
    """
    faults: list[Fault] = []
    for name, kind in kinds.items():
        value = getattr(owner, name)
        raw = list(value) if isinstance(value, tuple | Mapping) else value
        if raw is not None:
            kind.read(raw, Place(f"{type(owner).__name__}.{name}", faults))
    for name, kind in (values or {}).items():
        for key, value in getattr(owner, name).items():
            kind.read(value, Place(f"{type(owner).__name__}.{name}.{key}", faults))
    if faults:
        raise ValueError("\n".join(map(str, faults)))
