"""Reading a mongodump archive to its end: whether it is whole, and how much each database has in it.

The format has no page of its own; mongo-tools' common/archive describes it (github.com/mongodb/mongo-tools):
a magic number, documents about each collection, a terminator; then blocks, each a header that names a
collection, its documents and a terminator. A collection's last header says EOF. `--gzip` compresses the
whole, and gzip's own checksum covers every byte of it.
"""

from __future__ import annotations

import collections
import gzip
import struct
import zlib
from typing import TYPE_CHECKING

from .programs import Failed

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = 0x8199E26D
_TERMINATOR = 0xFFFFFFFF
_LONGEST = 48 * 1024 * 1024  # bytes of a document: 16 MB, and what an oplog entry adds
# The server's own: its users and settings are declared elsewhere, and come back with the next deployment.
SYSTEM = ("admin", "config", "local")


def documents(path: Path) -> dict[str, int]:
    """Return how many documents each database has in the archive, the server's own left out.

    Raises:
        Failed: it is no archive, or it is cut or damaged somewhere.
    """
    try:
        with gzip.open(path, "rb") as file:
            return _walk(file)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise Failed(f"{path.name} is cut or damaged: it does not decompress to its end") from None
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise Failed(f"{path.name} is no whole archive of mongodump ({error})") from None


def _walk(file: gzip.GzipFile) -> dict[str, int]:
    if _number(file) != _MAGIC:
        raise ValueError("it begins with something else")
    while _document(file) is not None:
        pass  # about each collection
    counts: collections.Counter[str] = collections.Counter()
    unfinished: set[str] = set()
    while True:
        start = file.read(4)
        if not start:
            break
        header = _fields(_rest(file, start))
        database, collection = str(header["db"]), str(header["collection"])
        name = f"{database}.{collection}"
        # A database's own notes, such as its views; but the buckets are what a time series consists of.
        counted = not collection.startswith("system.") or collection.startswith("system.buckets.")
        (unfinished.discard if header.get("EOF") else unfinished.add)(name)
        counts[database] += 0
        while _document(file) is not None:
            counts[database] += counted
    if unfinished:
        raise ValueError(f"it has no end of {min(unfinished)}")
    return {name: count for name, count in sorted(counts.items()) if name not in SYSTEM}


def _number(file: gzip.GzipFile) -> int:
    number: int = struct.unpack("<I", file.read(4))[0]
    return number


def _document(file: gzip.GzipFile) -> bytes | None:
    """Return the next document, or None at a terminator."""
    start = file.read(4)
    return None if struct.unpack("<I", start)[0] == _TERMINATOR else _rest(file, start)


def _rest(file: gzip.GzipFile, start: bytes) -> bytes:
    length = struct.unpack("<I", start)[0]
    if not 5 <= length <= _LONGEST:  # noqa: PLR2004 - an empty document has five bytes
        raise ValueError(f"a document of {length} bytes")
    body = file.read(length - 4)
    if len(body) != length - 4 or body[-1:] != b"\0":
        raise ValueError("a document is cut")
    return start + body


def _fields(document: bytes) -> dict[str, object]:
    """Return the texts, flags and numbers of a header. BSON: https://bsonspec.org/spec.html."""
    found: dict[str, object] = {}
    at = 4
    while document[at]:
        kind = document[at]
        end = document.index(b"\0", at + 1)
        name, at = document[at + 1 : end].decode(), end + 1
        if kind == 0x02:  # noqa: PLR2004 - numbers of types in the specification
            length = struct.unpack_from("<I", document, at)[0]
            found[name], at = document[at + 4 : at + 3 + length].decode(), at + 4 + length
        elif kind == 0x08:  # noqa: PLR2004
            found[name], at = bool(document[at]), at + 1
        elif kind in (0x01, 0x09, 0x11, 0x12):
            at += 8
        elif kind == 0x10:  # noqa: PLR2004
            at += 4
        else:
            raise ValueError(f"a header with a value of type {kind}")
    return found
