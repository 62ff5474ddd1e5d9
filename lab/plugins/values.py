"""Property values in messages: structs, secrets and unknown values.

A secret is a map with a special signature key. An unknown value is one of a few reserved texts. Pulumi
defines both forms in its sdk/go/common/resource/plugin/rpc.go. We keep both forms, so that such values pass
through unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.struct_pb2 import NULL_VALUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.struct_pb2 import Struct, Value

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - this marks a secret, but is none
UNKNOWN = (
    "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # an unknown text; the others stand for unknown numbers, lists, …
)
_UNKNOWNS = frozenset(
    (
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    )
)

Properties = dict[str, Any]


def is_unknown(value: object) -> bool:
    """Return whether a value is unknown, as in a preview."""
    return isinstance(value, str) and value in _UNKNOWNS


def holds_unknown(value: object) -> bool:
    """Return whether a value, or a part of it, is unknown."""
    if isinstance(value, dict):
        return any(holds_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(holds_unknown(item) for item in value)
    return is_unknown(value)


def is_secret(value: object) -> bool:
    """Return whether the value is marked as a secret."""
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET


def secret(value: object) -> object:
    """Return the value marked as a secret, but never marked twice.

    If the value is None, the result is None.
    """
    if value is None or is_secret(value):
        return value
    return {SIGNATURE: SECRET, "value": value}


def reveal(value: Any) -> Any:
    """Return the value without any marks of secrets."""
    if is_secret(value):
        return reveal(value["value"])
    if isinstance(value, dict):
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(item) for item in value]
    return value


def is_empty(value: object) -> bool:
    """Return whether Terraform's SDK, which has no null, treats this value as no value."""
    return value is None or value in ("", False, 0) or (isinstance(value, (list, dict)) and not value)


def from_struct(struct: Struct) -> Properties:
    """Return a struct as plain Python values.

    Whole numbers become int, because JSON has one type of number.
    """
    return {key: _from_value(value) for key, value in struct.fields.items()}


def _from_value(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "list_value":
            return [_from_value(item) for item in value.list_value.values]
        case "struct_value":
            return from_struct(value.struct_value)
        case _:
            return None


def to_struct(properties: Mapping[str, Any], struct: Struct) -> None:
    """Fill a struct of a message with plain Python values."""
    for key, value in properties.items():
        _to_value(value, struct.fields[key])


def _to_value(value: Any, target: Value) -> None:
    if value is None:
        target.null_value = NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, (int, float)):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, dict):
        target.struct_value.SetInParent()
        to_struct(value, target.struct_value)
    elif isinstance(value, (list, tuple)):
        target.list_value.SetInParent()
        for item in value:
            _to_value(item, target.list_value.values.add())
    else:
        message = f"a {type(value).__name__} is no property value"
        raise TypeError(message)
