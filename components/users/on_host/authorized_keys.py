"""Lines of an authorized_keys file, in the format of sshd(8): [options] type key [comment]."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER = "# Managed by Portcullis, resource {resource}. The next `pulumi up` removes other keys.\n"
LIMIT = 1 << 18
"""At most this number of bytes of a file is read, because a user of the host can write any number."""
MOST = 100
"""At most this number of undeclared keys of one user is shown."""
_TYPE = re.compile(r"[a-z0-9][a-z0-9@.-]{2,63}\Z")
# sshd splits a line at spaces and tabs. Its base64 decoder ignores every other character that isspace(3)
# accepts: a key with such a character in it is still valid.
_BLANKS = re.compile(r"[ \t]+")
_IGNORED = str.maketrans("", "", "\r\v\f")
_OPTION = re.compile(r'([A-Za-z-]+)(?:="(.*)")?', re.DOTALL)
_COMMENT = 80  # characters of a comment in a report


@dataclass(frozen=True)
class Key:
    """One line with a key that sshd accepts. Two lines with the same `identity` have the same key."""

    options: str
    type: str
    blob: str
    comment: str

    @property
    def identity(self) -> tuple[str, str, str]:
        """The parts of the line that matter to sshd: all except the comment."""
        return self.options, self.type, self.blob

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the key, in the form of sshd's log and of ``ssh-keygen -l``."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def text(self) -> str:
        """The line, with a comment that is safe to print."""
        comment = "".join(c if c.isprintable() else "?" for c in self.comment)[:_COMMENT]
        options = "".join(c if c.isprintable() else "?" for c in self.options)
        return " ".join(part for part in (options, self.type, self.blob, comment) if part)


def parse(line: str) -> Key | None:
    """The key in a line, or None if sshd finds no key: in a comment, an empty line or an invalid line."""
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
    """The keys of a file, in the order of its lines."""
    return [key for key in map(parse, text.split("\n")) if key is not None]


def _key(text: str) -> tuple[str, str, str] | None:
    """Type, key and comment, or None if the text does not start with a type and a key.

    The encoded key contains its type (RFC 4253, 6.6). We read the type from there, because sshd also accepts
    short names of a type: ``ED25519 AAAA…``.
    """
    words = _BLANKS.split(text.strip(" \t"), 2)
    if len(words) < 2:  # noqa: PLR2004 - a type and a key
        return None
    try:
        blob = base64.b64decode(words[1].translate(_IGNORED), validate=True)
    except (binascii.Error, ValueError):
        return None
    length = int.from_bytes(blob[:4], "big")
    kind = blob[4 : 4 + length].decode("ascii", "replace")
    if len(blob) < 4 + length or not _TYPE.match(kind):
        return None
    comment = words[2].strip() if len(words) > 2 else ""  # noqa: PLR2004 - as above
    return kind, base64.b64encode(blob).decode(), comment


def _options(line: str) -> tuple[str, str]:
    """The options of a line, and the rest of the line.

    The options end at the first space that is not in quotes.
    """
    end = _end(line, 0, " \t")
    return line[:end], line[end:].strip()


def _end(text: str, index: int, stops: str) -> int:
    """The position of the first character in `stops` that is not in quotes; the length if there is none."""
    quoted = False
    while index < len(text) and (quoted or text[index] not in stops):
        if text[index] == "\\" and text[index + 1 : index + 2] == '"':
            index += 1
        elif text[index] == '"':
            quoted = not quoted
        index += 1
    return min(index, len(text))


def named_options(options: str) -> list[tuple[str, str]]:
    """The names and values of a key's options. The time is linear in their length."""
    found, start = [], 0
    while start < len(options):
        end = _end(options, start, ",")
        match = _OPTION.fullmatch(options, start, end)
        if match:
            found.append((match[1], match[2] or ""))
        start = end + 1
    return found


def read_back(declared: Mapping[str, str], files: Mapping[str, str], first: str) -> dict[str, str]:
    """The keys that sshd accepts: a declared key under its label, any other under its fingerprint.

    Args:
        declared: the declared lines, by label.
        files: path and text of each file that sshd reads.
        first: the path of the file that we write.

    Returns:
        The lines of all keys, by label or fingerprint. A declared key has its declared line, even if the file
        has another comment. The same key in a second file, or with other options, counts as an additional
        key. Of additional keys, at most `MOST` are returned, and the key "more" has the number of the others.
    """
    labels: dict[str, str] = {}
    for label, line in declared.items():
        key = parse(line)
        if key is not None:
            labels[key.blob] = label
    found: dict[str, str] = {}
    names: Counter[str] = Counter()
    others = 0
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
                continue
            others += 1
            if others <= MOST:
                name = label if label and label not in found else key.fingerprint
                found[numbered(name, names)] = key.text + place
    if others > MOST:
        found["more"] = f"{others - MOST} more keys are not shown"
    return found


def numbered(name: str, names: Counter[str]) -> str:
    """The name for one more key: `SHA256:…`, then `SHA256:… (2)`. `names` counts the keys of each name."""
    names[name] += 1
    return name if names[name] == 1 else f"{name} ({names[name]})"


def render(keys: Mapping[str, str], resource: str) -> str:
    """The text of an authorized_keys file with only these keys."""
    lines = "".join(f"{' '.join(line.split(chr(10)))}\n" for _, line in sorted(keys.items()))
    return HEADER.format(resource=resource) + lines
