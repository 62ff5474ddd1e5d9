"""Data classes as JSON and back: what the two halves of a host resource exchange.

Both halves use the same frozen data classes, so a field that one half does not know is an error and no
silent difference.
"""

from __future__ import annotations

import contextlib
import functools
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, Dict, Type, TypeVar, Union, cast

Json = Dict[str, Any]
T = TypeVar("T")

ABSENT = "<absent>"
"""Stands for a property of a thing that is not there, for a text above all."""


class Malformed(ValueError):
    """Data that does not have the shape of its class. The text names the field and never its value."""


@dataclass(frozen=True)
class Facts:
    """What is on the host now. A kind adds fields; each has a default, for a thing that is absent.

    Attributes:
        exists: the thing is there.
        revision: changes with every write of ours; "" for a thing that we never wrote.
    """

    exists: bool
    revision: str = ""


@dataclass(frozen=True)
class Spec:
    """What the host needs to know to read a thing. A kind adds fields."""


@dataclass(frozen=True)
class Desired(ABC):
    """What is declared. A kind adds fields, named as the inputs of its resource."""

    @property
    @abstractmethod
    def id(self) -> str:
        """What tells this thing from the others of its kind on the host, such as a path."""

    @abstractmethod
    def spec(self) -> Spec:
        """Return what the host needs to know to read the thing."""


def encode(value: object, as_type: type | None = None) -> Any:
    """Return JSON for a data class, without fields that are None.

    Args:
        value: a data class, or what its fields hold.
        as_type: the class whose fields travel; those that a subclass adds stay on this side.
    """
    if is_dataclass(value) and not isinstance(value, type):
        declared = fields(as_type or type(value))
        told = {field.name: getattr(value, field.name) for field in declared}
        if isinstance(value, Facts) and not value.exists:
            # An absent thing has nothing to tell but what differs from the defaults.
            told = {
                field.name: told[field.name] for field in declared if told[field.name] != default_of(field)
            }
        return {name: encode(held) for name, held in told.items() if held is not None}
    if isinstance(value, Mapping):
        return {str(key): encode(held) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(held) for held in value]
    return value


def default_of(field: Any) -> object:
    """Return the default of a data class's field; `MISSING` where it has none."""
    return field.default_factory() if field.default_factory is not MISSING else field.default


def decode(cls: Type[T], data: object, where: str = "") -> T:
    """Return a data class from JSON.

    Args:
        cls: the data class.
        data: a JSON object; a number may have arrived as 3.0 where 3 is meant.
        where: the path of `data`, for messages.

    Raises:
        Malformed: a field is unknown, missing, or of another type.
    """
    if not isinstance(data, Mapping):
        raise Malformed(f"{where or cls.__name__} is no object")
    hints, known = _shape(cast("Any", cls))
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise Malformed(f"{_at(where, unknown[0])} is unknown to {cls.__name__}")
    # The defaults of facts are for an absent thing: of one that is there, the host tells everything.
    whole = issubclass(cls, Facts) and data.get("exists") is True
    missing = [
        name
        for name, required in known.items()
        if (required or (whole and name != "revision" and not _allows_none(hints[name])))
        and data.get(name) is None
    ]
    if missing:
        raise Malformed(f"{_at(where, missing[0])} is missing")
    return cls(**{name: _value(hints[name], held, _at(where, name)) for name, held in data.items()})


def assert_type(cls: type, name: str, value: object) -> None:
    """Check one value of a field of a data class; what is no field may have any.

    Raises:
        Malformed: it is of another type.
    """
    hints, _ = _shape(cls)
    if name in hints:
        _value(hints[name], value, name)


@functools.cache
def _shape(cls: type) -> tuple[dict[str, Any], dict[str, bool]]:
    """Return the types of a class's fields, and which of them are required."""
    hints = typing.get_type_hints(cls)
    known = {field.name: default_of(field) is MISSING for field in fields(cast("Any", cls))}
    # A field that may be None need not be there.
    return {name: hints[name] for name in known}, {
        name: required and not _allows_none(hints[name]) for name, required in known.items()
    }


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _allows_none(hint: Any) -> bool:
    return typing.get_origin(hint) is Union and type(None) in typing.get_args(hint)


def _value(hint: Any, data: Any, where: str) -> Any:
    """Return one value in its declared type."""
    for read in (_union, _nested, _mapping, _sequence, _plain):
        value = read(hint, data, where)
        if value is not _NOT_MINE:
            return value
    raise Malformed(f"{where} is not of its type")


_NOT_MINE = object()
"""What a reader returns for a type or value that another one may read."""


def _union(hint: Any, data: Any, where: str) -> Any:
    if typing.get_origin(hint) is not Union:
        return _NOT_MINE
    if data is None and _allows_none(hint):
        return None
    for option in typing.get_args(hint):
        with contextlib.suppress(Malformed):
            return _value(option, data, where)
    return _NOT_MINE


def _nested(hint: Any, data: Any, where: str) -> Any:
    return decode(cast("type[Any]", hint), data, where) if is_dataclass(hint) else _NOT_MINE


def _mapping(hint: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if not (isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(data, Mapping)):
        return _NOT_MINE
    key_type, held_type = typing.get_args(hint)
    return {
        _value(key_type, key, where): _value(held_type, held, _at(where, str(key)))
        for key, held in data.items()
    }


def _sequence(hint: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if not (isinstance(origin, type) and issubclass(origin, Sequence) and isinstance(data, (list, tuple))):
        return _NOT_MINE
    inner = typing.get_args(hint)[0]
    return tuple(_value(inner, held, f"{where}[{at}]") for at, held in enumerate(data))


def _plain(hint: Any, data: Any, where: str) -> Any:
    del where
    if hint in (Any, object):
        return data
    if typing.get_origin(hint) is typing.Literal:
        return data if data in typing.get_args(hint) else _NOT_MINE
    if hint is int and isinstance(data, float) and data.is_integer():
        return int(data)
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if isinstance(hint, type) and isinstance(data, hint) and (hint is bool or not isinstance(data, bool)):
        return data
    return _NOT_MINE
