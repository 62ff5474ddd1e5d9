"""Lines of an authorized_keys file, in the format of sshd(8): [options] type key [comment]."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER = "# Managed by Portcullis, resource {resource}. A key that is added here is taken out again.\n"
_TYPE = re.compile(r"[a-z0-9][a-z0-9@.-]{2,63}\Z")
# sshd parts a line at these two, and its base64 passes over all that isspace(3) is true of: a key with one of
# these in it lets in all the same.
_BLANKS = re.compile(r"[ \t]+")
_PASSED_OVER = str.maketrans("", "", "\r\v\f")
_COMMENT = 80  # characters of a comment that are shown


@dataclass(frozen=True)
class Key:
    """One line that lets somebody in. `identity` is what decides: all but the comment."""

    options: str
    type: str
    blob: str
    comment: str

    @property
    def identity(self) -> tuple[str, str, str]:
        """What sshd goes by."""
        return self.options, self.type, self.blob

    @property
    def fingerprint(self) -> str:
        """As sshd logs it and ``ssh-keygen -l`` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def text(self) -> str:
        """The line, with a comment that is safe to print."""
        comment = "".join(c if c.isprintable() else "?" for c in self.comment)[:_COMMENT]
        options = "".join(c if c.isprintable() else "?" for c in self.options)
        return " ".join(part for part in (options, self.type, self.blob, comment) if part)


def parse(line: str) -> Key | None:
    """The key in a line; None where sshd sees none: a comment, an empty line, nonsense."""
    line = line.partition("\0")[0].strip(" \t\r\n")  # sshd's strings end at a NUL
    if not line or line.startswith("#"):
        return None
    options, rest = "", line
    found = _key(rest)
    if found is None:
        options, rest = _options(line)
        found = _key(rest)
    if found is None:
        return None
    kind, blob, comment = found
    return Key(options, kind, blob, comment)


def parse_all(text: str) -> list[Key]:
    """The keys of a file, in their order."""
    return [key for key in map(parse, text.split("\n")) if key is not None]


def _key(text: str) -> tuple[str, str, str] | None:
    """Type, key and comment, if the text begins with them.

    The type is what the key itself says (RFC 4253, 6.6): sshd also takes short names, ``ED25519 AAAA…``.
    """
    words = _BLANKS.split(text.strip(" \t"), 2)
    if len(words) < 2:  # noqa: PLR2004 - a type and a key
        return None
    try:
        blob = base64.b64decode(words[1].translate(_PASSED_OVER), validate=True)
    except (binascii.Error, ValueError):
        return None
    length = int.from_bytes(blob[:4], "big")
    kind = blob[4 : 4 + length].decode("ascii", "replace")
    if len(blob) < 4 + length or not _TYPE.match(kind):
        return None
    comment = words[2].strip() if len(words) > 2 else ""  # noqa: PLR2004 - as above
    return kind, base64.b64encode(blob).decode(), comment


def _options(line: str) -> tuple[str, str]:
    """Options and the rest: they end at the first space that is not in quotes."""
    quoted, index = False, 0
    while index < len(line) and (quoted or line[index] not in " \t"):
        if line[index] == "\\" and line[index + 1 : index + 2] == '"':
            index += 1
        elif line[index] == '"':
            quoted = not quoted
        index += 1
    return line[:index], line[index:].strip()


def read_back(declared: Mapping[str, str], files: Mapping[str, str], first: str) -> dict[str, str]:
    """The keys that let in, by our label where it is one that was declared, else by its fingerprint.

    Args:
        declared: label to line.
        files: path and text of each file that sshd reads.
        first: the path of the one that we write.

    Returns:
        Label or fingerprint to line. A declared key is read back as it was declared, whatever its comment is;
        one that stands in a second place, or with other options, is a key more.
    """
    labels: dict[str, str] = {}
    for label, line in declared.items():
        key = parse(line)
        if key is not None:
            labels[key.blob] = label
    found: dict[str, str] = {}
    for path, text in files.items():
        seen = set()
        for key in parse_all(text):
            if key.identity in seen:
                continue
            seen.add(key.identity)
            label = labels.get(key.blob, "")
            ours = parse(declared[label]) if label else None
            place = "" if path == first else f" (in {path})"
            if ours and ours.identity == key.identity and not place and label not in found:
                found[label] = declared[label]
            else:
                _add(found, label if label and label not in found else key.fingerprint, key.text + place)
    return found


def _add(found: dict[str, str], name: str, value: str) -> None:
    number, free = 1, name
    while free in found:
        number += 1
        free = f"{name} ({number})"
    found[free] = value


def render(keys: Mapping[str, str], resource: str) -> str:
    """The file that lets in these keys and no other."""
    lines = "".join(f"{' '.join(line.split(chr(10)))}\n" for _, line in sorted(keys.items()))
    return HEADER.format(resource=resource) + lines
