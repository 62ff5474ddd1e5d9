"""Read a mongodump archive to its end: check that it is complete, and count the documents of each database.

The format of an archive has no documentation. The source of mongo-tools describes it in common/archive
(github.com/mongodb/mongo-tools). An archive begins with a magic number, documents about each collection, and
a terminator. Blocks follow. Each block has a header that names a collection, documents of this collection,
and a terminator. The last header of a collection has the flag EOF. `--gzip` compresses the whole archive, and
gzip's own checksum covers every byte of it.
"""

from __future__ import annotations

import collections
import gzip
import re
import struct
import zlib
from typing import TYPE_CHECKING

from .programs import Failed, share

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = 0x8199E26D
_TERMINATOR = 0xFFFFFFFF
_LONGEST = 48 * 1024 * 1024  # bytes of the longest document: 16 MB, and room for an oplog entry's own fields
# The server's own databases. Their users and settings are declared: the next deployment creates them again.
SYSTEM = ("admin", "config", "local")


def documents(path: Path) -> dict[str, int]:
    """Return the number of documents of each database in the archive, without the server's own databases.

    Raises:
        Failed: the file is not an archive, or the archive is incomplete or damaged.
    """
    try:
        with gzip.open(path, "rb") as file:
            return _walk(file)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise Failed(
            f"the backup {path.name} is incomplete or damaged: gzip cannot decompress the whole file"
        ) from None
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise Failed(f"the backup {path.name} is not a complete archive of mongodump: {error}") from None


def server_version(path: Path) -> tuple[int, ...]:
    """Return the first two numbers of the version of the server that an archive is from: (8, 0).

    `documents` has checked the archive before. The result is empty if the archive names no version.
    """
    with gzip.open(path, "rb") as file:
        file.read(4)
        head = _document(file)
    try:
        found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})", str(_fields(head or b"").get("server_version")))
    except (struct.error, IndexError, ValueError):
        found = None
    return tuple(map(int, found.groups())) if found else ()


def _walk(file: gzip.GzipFile) -> dict[str, int]:
    if _number(file) != _MAGIC:
        raise ValueError("the file does not begin with the magic number of mongodump's archives")
    while _document(file) is not None:
        pass  # skip the documents about collections
    counts: collections.Counter[str] = collections.Counter()
    unfinished: set[str] = set()
    while True:
        start = file.read(4)
        if not start:
            break
        header = _fields(_rest(file, start))
        database, collection = str(header["db"]), str(header["collection"])
        name = f"{database}.{collection}"
        # Views and other system documents do not count. The buckets of a time series count, because they
        # contain its data.
        counted = not collection.startswith("system.") or collection.startswith("system.buckets.")
        (unfinished.discard if header.get("EOF") else unfinished.add)(name)
        counts[database] += 0
        while _document(file) is not None:
            counts[database] += counted
    if unfinished:
        raise ValueError(f"the archive ends before the end of the collection {min(unfinished)}")
    return {name: count for name, count in sorted(counts.items()) if name not in SYSTEM}


def _number(file: gzip.GzipFile) -> int:
    number: int = struct.unpack("<I", file.read(4))[0]
    return number


def _document(file: gzip.GzipFile) -> bytes | None:
    """Return the next BSON document of the archive, or None at a terminator."""
    share.check()  # the container decides how much its archive unpacks to
    start = file.read(4)
    return None if struct.unpack("<I", start)[0] == _TERMINATOR else _rest(file, start)


def _rest(file: gzip.GzipFile, start: bytes) -> bytes:
    length = struct.unpack("<I", start)[0]
    if not 5 <= length <= _LONGEST:  # noqa: PLR2004 - an empty document has five bytes
        raise ValueError(f"a document in the archive has an impossible length of {length} bytes")
    body = file.read(length - 4)
    if len(body) != length - 4 or body[-1:] != b"\0":
        raise ValueError("the archive ends in the middle of a document")
    return start + body


def _fields(document: bytes) -> dict[str, object]:
    """Return the fields of a BSON header that are strings or booleans.

    BSON is specified at https://bsonspec.org/spec.html.
    """
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
            raise ValueError(f"a header in the archive contains a value of the unexpected BSON type {kind}")
    return found
