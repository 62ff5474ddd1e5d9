"""The part of BSON that the agent needs for commands to a MongoDB server, and for the server's answers.

This module writes texts, bytes, numbers, flags, ObjectIds, lists and documents. The module reads every type
of BSON. A value that the agent does not need, such as a timestamp, becomes bytes or None.
https://bsonspec.org/spec.html
"""

from __future__ import annotations

import struct
from typing import Any

Document = dict[str, Any]

DEPTH = 32  # levels of nested documents; a server's answer has a few

# Types of a fixed size whose bytes are not interpreted: timestamp, ObjectId, Decimal128.
_OPAQUE = {0x11: 8, 0x07: 12, 0x13: 16}
_EMPTY = (0x06, 0x0A, 0x7F, 0xFF)  # undefined, null, max key, min key
_TEXTS = (0x02, 0x0D, 0x0E)  # text, code, symbol
_DOCUMENT, _LIST, _BYTES, _PATTERN = 0x03, 0x04, 0x05, 0x0B
_NUMBERS = {0x01: ("<d", 8), 0x08: ("<?", 1), 0x09: ("<q", 8), 0x10: ("<i", 4), 0x12: ("<q", 8)}


class Malformed(Exception):
    """Bytes that are not valid BSON."""


def encode(document: Document) -> bytes:
    """Return the bytes of a document.

    The keys keep their order, because the server takes the first key as the command.
    """
    body = b"".join(_element(key, value) for key, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _element(key: str, value: object) -> bytes:
    name = key.encode() + b"\0"
    if isinstance(value, bool):
        return b"\x08" + name + (b"\1" if value else b"\0")
    if isinstance(value, int):
        small = -(2**31) <= value < 2**31
        return (b"\x10" if small else b"\x12") + name + struct.pack("<i" if small else "<q", value)
    if isinstance(value, str):
        text = value.encode()
        return b"\x02" + name + struct.pack("<i", len(text) + 1) + text + b"\0"
    if isinstance(value, bytes):
        return b"\x05" + name + struct.pack("<iB", len(value), 0) + value
    if isinstance(value, dict):
        return b"\x03" + name + encode(value)
    if isinstance(value, list):
        return b"\x04" + name + encode({str(index): item for index, item in enumerate(value)})
    raise TypeError(type(value).__name__)  # never its value: it may be a password


def decode(data: bytes) -> Document:
    """Return the document at the start of `data`.

    Raises:
        Malformed: the document is not valid, or not complete.
    """
    try:
        return _document(data, 0, DEPTH)[0]
    except (struct.error, IndexError, UnicodeDecodeError):
        raise Malformed from None


def _document(data: bytes, at: int, depth: int) -> tuple[Document, int]:
    (size,) = struct.unpack_from("<i", data, at)
    end = at + size - 1
    if depth == 0 or size < 5 or end >= len(data) or data[end] != 0:  # noqa: PLR2004 - an empty one
        raise Malformed
    found: Document = {}
    at += 4
    while at < end:
        kind = data[at]
        key, at = _name(data, at + 1)
        found[key], at = _value(kind, data, at, depth)
    if at != end:
        raise Malformed
    return found, end + 1


def _value(kind: int, data: bytes, at: int, depth: int) -> tuple[Any, int]:  # noqa: PLR0911 - one per type
    if kind in (_DOCUMENT, _LIST):
        inner, end = _document(data, at, depth - 1)
        return (inner if kind == _DOCUMENT else list(inner.values())), end
    if kind in _TEXTS:
        text, end = _counted(data, at, 4, least=1)
        return text[:-1].decode(), end
    if kind == _BYTES:
        return _counted(data, at, 5, least=0)
    if kind in _NUMBERS:
        form, size = _NUMBERS[kind]
        return struct.unpack_from(form, data, at)[0], at + size
    if kind in _OPAQUE:
        end = at + _OPAQUE[kind]
        return data[at:end], end
    if kind == _PATTERN:
        pattern, at = _name(data, at)
        return pattern, _name(data, at)[1]
    if kind not in _EMPTY:
        raise Malformed
    return None, at


def _counted(data: bytes, at: int, head: int, *, least: int) -> tuple[bytes, int]:
    """Return a field's bytes, which come after a number with their length.

    `head` is the size of the fields before these bytes.
    """
    (size,) = struct.unpack_from("<i", data, at)
    end = at + head + size
    if size < least or end > len(data):
        raise Malformed
    return data[at + head : end], end


def _name(data: bytes, at: int) -> tuple[str, int]:
    end = data.find(b"\0", at)
    if end < 0:
        raise Malformed
    return data[at:end].decode(), end + 1
