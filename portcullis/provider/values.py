"""Converts property values between gRPC messages and plain Python.

An unknown value is one of a few reserved texts, and a secret is a map with a reserved key. Pulumi defines
these texts and this key in sdk/go/common/resource/plugin/rpc.go. We tell Pulumi's engine that we accept no
secret marks. So the engine sends plain values over the loopback interface, and itself marks the secrets in
our answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.struct_pb2 import NULL_VALUE, Struct
from pulumi import output
from pulumi.output import Unknown
from pulumi.runtime.rpc import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from google.protobuf.struct_pb2 import Value

    from portcullis.provider.base import Props

_UNKNOWNS = frozenset(
    (
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # a bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # a number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # a list
        "030794c1-ac77-496b-92df-f27374a8bd58",  # an asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # an archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # an object
    )
)
_SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


def from_struct(struct: Struct) -> Props:
    """Return properties as plain Python, without nulls. JSON numbers that are whole become int."""
    found = {key: _from_value(value) for key, value in struct.fields.items()}
    return {key: value for key, value in found.items() if value is not None}


def _from_value(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            text: str = value.string_value
            return output.UNKNOWN if text in _UNKNOWNS else text
        case "bool_value":
            return value.bool_value
        case "number_value":
            number: float = value.number_value
            return int(number) if number.is_integer() else number
        case "list_value":
            return [_from_value(item) for item in value.list_value.values]
        case "struct_value":
            return from_struct(value.struct_value)
        case _:
            return None


def to_struct(properties: Mapping[str, Any], secrets: Collection[str] = ()) -> Struct:
    """Return plain Python as a message.

    Args:
        properties: the values, each under its name.
        secrets: names of the properties to mark as secret. Pulumi's engine accepts secret marks in every
            answer.
    """
    struct = Struct()
    _fill(
        struct,
        {key: _SECRET | {"value": value} if key in secrets else value for key, value in properties.items()},
    )
    return struct


def _fill(struct: Struct, properties: Mapping[str, Any]) -> None:
    for key, value in properties.items():
        _to_value(value, struct.fields[key])


def _to_value(value: Any, target: Value) -> None:
    if isinstance(value, Unknown):
        target.string_value = UNKNOWN
    elif value is None:
        target.null_value = NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, dict):
        target.struct_value.SetInParent()
        _fill(target.struct_value, value)
    else:
        target.list_value.SetInParent()
        for item in value:
            _to_value(item, target.list_value.values.add())
