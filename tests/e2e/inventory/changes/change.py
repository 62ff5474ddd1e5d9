"""Describes a change by hand: the command that root runs, and the lines that the report shows about it."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from dataclasses import dataclass, replace

KEPT = "/run/drill"
"""The folder on the host that keeps the original files until a change is undone."""
IMAGE = "IMAGE"
"""The word in a command that stands for an image on the host."""
PASSWORD = "$6$drill$mZBKVMdJTrzsPhpIs0uTt0XkbIWkPHYhTnqMzYvUuuaMsgVBB0TyoZTMNvV5BzUGOMu9rmYlbXXGfIk4VLXMu0"
"""A password hash in the format of crypt(5). Nobody knows the password of this hash."""

_WORD = r"[\w/-]|\.\w"


@dataclass(frozen=True)
class Change:
    """One change by hand.

    Attributes:
        row: the row about this change in the table of docs/inventory.md.
        does: the shell command that root runs.
        shown: words that exactly one line of the report has. The first word is in the subject of the line.
            Other lines may have the first word too.
        undone: the shell command that undoes the change.
        also: for each further line about the same command, the words that the line has. Each line occurs
            once.
        may: the words of lines that may also occur, because the change can cause them.
        follows: the words of lines that the report leaves out, because the line with `shown` says the same.
        stays: whether the line says that `up` leaves the change alone. Otherwise it says what `up` does.
        paste: whether the line ends with a command that undoes the change.
        theirs: whether the change lies in a folder that a user of the host may write. The line must not end
            with a command then, because the user could redirect the command.
        walk: whether only the nightly walk finds the change.
        apart: why the test of all changes together leaves this change out.
        review: the words of the review in which no preview showed the change, or an empty text.
        neighbour: a Python program that the neighbour on the same network segment runs at the same time.
    """

    row: str
    does: str
    shown: tuple[str, ...]
    undone: str
    also: tuple[tuple[str, ...], ...] = ()
    may: tuple[tuple[str, ...], ...] = ()
    follows: tuple[tuple[str, ...], ...] = ()
    stays: bool = True
    paste: bool = False
    theirs: bool = False
    walk: bool = False
    apart: str = ""
    review: str = ""
    neighbour: str = ""


def tells(subject: str, text: str, words: tuple[str, ...]) -> bool:
    """Return whether the subject of a line has the first word, and the line has all words."""
    return holds(subject, words[:1]) and holds(text, words)


def holds(line: str, words: tuple[str, ...]) -> bool:
    """Return whether a line has all these words.

    Only whole words count: /etc/hosts is not in /etc/hosts.deny.
    """
    return all(re.search(rf"(?<![\w/.-]){re.escape(word)}(?!{_WORD})", line) for word in words)


def kept(path: str) -> str:
    """Return the path of the kept original of a file."""
    return f"{KEPT}/{path.strip('/').replace('/', '_')}"


def adds(
    path: str,
    text: str,
    *,
    row: str,
    mode: str = "0644",
    after: str = "",
    review: str = "",
    theirs: bool = False,
    **more: object,
) -> Change:
    """Return a change that adds a file. The report shows the path, and a command that removes the file.

    In a folder of a user, there is no command.

    The command `after` runs after the file is written, and again after it is removed.
    """
    then = f"; {after}" if after else ""
    made = Change(
        row=row,
        does=f"install -D -m {mode} /dev/stdin {path} <<'EOF'\n{text}\nEOF\n:{then}",
        shown=(path,),
        undone=f"rm {path}{then}",
        paste=not theirs,
        theirs=theirs,
        review=review,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def edits(path: str, line: str, *, row: str, review: str = "", after: str = "", **more: object) -> Change:
    """Return a change that appends a line to a file. The file keeps its inode, as with some editors."""
    then = f"; {after}" if after else ""
    made = Change(
        row=row,
        does=f"mkdir -p {KEPT}; cp -p {path} {kept(path)}; echo '{line}' >> {path}{then}",
        shown=(path,),
        undone=f"cat {kept(path)} > {path}{then}",
        review=review,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def moves_away(path: str, *, row: str, **more: object) -> Change:
    """Return a change that removes a file."""
    made = Change(
        row=row,
        does=f"mkdir -p {KEPT}; cp -p {path} {kept(path)}; rm {path}",
        shown=(path,),
        undone=f"cp -p {kept(path)} {path}",
    )
    return replace(made, **more)  # type: ignore[arg-type]


def changes_mode(path: str, new: str, old: str, *, row: str, **more: object) -> Change:
    """Return a change of the mode of a file or folder."""
    made = Change(row=row, does=f"chmod {new} {path}", shown=(path, new), undone=f"chmod {old} {path}")
    return replace(made, **more)  # type: ignore[arg-type]


def key(comment: str) -> str:
    """Return a line of authorized_keys, with a made-up key that depends on the comment.

    Nobody has the private key.
    """
    kind, point = b"ssh-ed25519", hashlib.sha256(comment.encode()).digest()
    blob = b"".join(struct.pack(">I", len(part)) + part for part in (kind, point))
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}"
