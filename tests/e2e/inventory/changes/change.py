"""What somebody with root does to a host, and the line of the report that tells of it."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from dataclasses import dataclass, replace

KEPT = "/run/drill"
"""On the host: what was there before a change, until it is undone."""
IMAGE = "IMAGE"
"""In a command: an image that the host has."""
PASSWORD = "$6$drill$mZBKVMdJTrzsPhpIs0uTt0XkbIWkPHYhTnqMzYvUuuaMsgVBB0TyoZTMNvV5BzUGOMu9rmYlbXXGfIk4VLXMu0"
"""A hash as crypt(5) writes it; nobody knows the password."""

_WORD = r"[\w/-]|\.\w"


@dataclass(frozen=True)
class Change:
    """One deed.

    Attributes:
        row: the row of the table in docs/inventory.md that says it is covered.
        does: a line of sh that root runs.
        shown: words that exactly one line of the report has. The first is in its subject; other lines may
            mention it.
        undone: a line of sh that takes it back.
        also: words of each further line: other things that the same deed made, each told once.
        may: words of lines that may come with it, since they follow from it.
        stays: `up` leaves it alone, and the line says so. Else it says what `up` does.
        paste: the line ends in a command that takes it back.
        walk: only the nightly walk sees it.
        apart: why it is left out where all changes are made together.
        review: who found it missing, in their words; "" for what was thought of here.
        neighbour: a program in Python that the neighbour on the same segment runs besides.
    """

    row: str
    does: str
    shown: tuple[str, ...]
    undone: str
    also: tuple[tuple[str, ...], ...] = ()
    may: tuple[tuple[str, ...], ...] = ()
    stays: bool = True
    paste: bool = False
    walk: bool = False
    apart: str = ""
    review: str = ""
    neighbour: str = ""


def tells(subject: str, text: str, words: tuple[str, ...]) -> bool:
    """Return whether a line is about the first of these words and has the others."""
    return holds(subject, words[:1]) and holds(text, words)


def holds(line: str, words: tuple[str, ...]) -> bool:
    """Return whether a line has all these words, each as a whole: /etc/hosts is not in /etc/hosts.deny."""
    return all(re.search(rf"(?<![\w/.-]){re.escape(word)}(?!{_WORD})", line) for word in words)


def kept(path: str) -> str:
    """Return where the file at a path is kept meanwhile."""
    return f"{KEPT}/{path.strip('/').replace('/', '_')}"


def adds(
    path: str,
    text: str,
    *,
    row: str,
    mode: str = "0644",
    after: str = "",
    review: str = "",
    **more: object,
) -> Change:
    """Return the change that a new file is, whose line is its path and whose remedy is to remove it.

    `after` is run when the file is there, and again when it is gone.
    """
    then = f"; {after}" if after else ""
    made = Change(
        row=row,
        does=f"install -D -m {mode} /dev/stdin {path} <<'EOF'\n{text}\nEOF\n:{then}",
        shown=(path,),
        undone=f"rm {path}{then}",
        paste=True,
        review=review,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def edits(path: str, line: str, *, row: str, review: str = "", after: str = "", **more: object) -> Change:
    """Return the change that one more line in a file is. It is written in place, as an editor may do."""
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
    """Return the change that a file that is gone is."""
    made = Change(
        row=row,
        does=f"mkdir -p {KEPT}; cp -p {path} {kept(path)}; rm {path}",
        shown=(path,),
        undone=f"cp -p {kept(path)} {path}",
    )
    return replace(made, **more)  # type: ignore[arg-type]


def changes_mode(path: str, new: str, old: str, *, row: str, **more: object) -> Change:
    """Return the change that another mode of a file or folder is."""
    made = Change(row=row, does=f"chmod {new} {path}", shown=(path, new), undone=f"chmod {old} {path}")
    return replace(made, **more)  # type: ignore[arg-type]


def key(comment: str) -> str:
    """Return a line of authorized_keys, another key for each comment. Nobody has the private half."""
    kind, point = b"ssh-ed25519", hashlib.sha256(comment.encode()).digest()
    blob = b"".join(struct.pack(">I", len(part)) + part for part in (kind, point))
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}"
