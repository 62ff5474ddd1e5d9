"""Turns the data classes that agent and provider exchange into JSON and back.

Agent and provider use the same frozen data classes. So a field that one of them does not have is an error,
and not a silent difference.
"""

from __future__ import annotations

import contextlib
import functools
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, ClassVar, TypeVar, Union, cast

Json = dict[str, Any]
T = TypeVar("T")
_UNIONS = (Union, UnionType)  # `X | Y` gives a `Union` for types of `typing`, else a `UnionType`

ABSENT = "<absent>"
"""The value of a text property of a resource that does not exist."""


class Malformed(ValueError):
    """The data do not fit their class. The message names the field and never its value."""


@dataclass(frozen=True)
class Facts:
    """The present state of a resource on the host.

    A kind adds fields, each with a default for an absent resource.

    Attributes:
        exists: whether the resource exists.
        revision: a text that changes with every write of ours; "" for a resource that we never wrote.
    """

    exists: bool
    revision: str = ""


class Spec:
    """The data by which the agent reads a resource. Each kind has a data class of it."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class Desired(ABC):
    """The declared state of a resource.

    Each kind has a data class of it, with fields of the same names as the inputs of its resource.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    @abstractmethod
    def id(self) -> str:
        """The id of this resource among the host's resources of the same kind, such as a path."""

    @abstractmethod
    def spec(self) -> Spec:
        """Return the data by which the agent reads the resource."""


def encode(value: object, as_type: type | None = None) -> Any:
    """Return JSON for a data class, without fields that are None.

    Args:
        value: a data class, or the value of a field.
        as_type: the class whose fields are sent; fields that a subclass adds are left out.
    """
    if is_dataclass(value) and not isinstance(value, type):
        declared = fields(as_type or type(value))
        sent = {field.name: getattr(value, field.name) for field in declared}
        if isinstance(value, Facts) and not value.exists:
            # For an absent resource, only values that differ from the defaults are sent.
            sent = {
                field.name: sent[field.name] for field in declared if sent[field.name] != default_of(field)
            }
        return {name: encode(held) for name, held in sent.items() if held is not None}
    if isinstance(value, Mapping):
        return {str(key): encode(held) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(held) for held in value]
    return value


def default_of(field: Any) -> object:
    """Return the default of a data class's field, or `MISSING` for a field without a default."""
    return field.default_factory() if field.default_factory is not MISSING else field.default


def decode(cls: type[T], data: object, where: str = "") -> T:
    """Return a data class from JSON.

    Args:
        cls: the data class.
        data: a JSON object; a number may have arrived as 3.0 where 3 is meant.
        where: the path of `data`, for messages.

    Raises:
        Malformed: a field is unknown or missing, or has another type.
    """
    if not isinstance(data, Mapping):
        raise Malformed(f"the value of {where or cls.__name__} is not a JSON object")
    hints, known = _shape(cast("Any", cls))
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise Malformed(f"the field {_at(where, unknown[0])} is unknown to {cls.__name__}")
    # The defaults of facts are for an absent resource. For an existing one, the host sends all fields.
    whole = issubclass(cls, Facts) and data.get("exists") is True
    missing = [
        name
        for name, required in known.items()
        if (required or (whole and name != "revision" and not _allows_none(hints[name])))
        and data.get(name) is None
    ]
    if missing:
        raise Malformed(f"the field {_at(where, missing[0])} is missing")
    return cls(**{name: _value(hints[name], held, _at(where, name)) for name, held in data.items()})


def assert_type(cls: type, name: str, value: object) -> None:
    """Check the type of one value of a data class. A name that is not a field is not checked.

    Raises:
        Malformed: the value has another type.
    """
    hints, _ = _shape(cls)
    if name in hints:
        _value(hints[name], value, name)


@functools.cache
def _shape(cls: type) -> tuple[dict[str, Any], dict[str, bool]]:
    """Return the types of a class's fields, and which fields are required."""
    hints = typing.get_type_hints(cls)
    known = {field.name: default_of(field) is MISSING for field in fields(cast("Any", cls))}
    # A field that may be None is not required.
    return {name: hints[name] for name in known}, {
        name: required and not _allows_none(hints[name]) for name, required in known.items()
    }


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _allows_none(hint: Any) -> bool:
    return typing.get_origin(hint) in _UNIONS and type(None) in typing.get_args(hint)


def _value(hint: Any, data: Any, where: str) -> Any:
    """Return one value in its declared type."""
    for read in (_union, _nested, _mapping, _sequence, _plain):
        value = read(hint, data, where)
        if value is not _NOT_MINE:
            return value
    raise Malformed(f"the field {where} has a value of the wrong type")


_NOT_MINE = object()
"""A function that reads values returns this object if it does not handle the type.

The next function is then tried.
"""


def _union(hint: Any, data: Any, where: str) -> Any:
    if typing.get_origin(hint) not in _UNIONS:
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
