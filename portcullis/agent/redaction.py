"""What is kept back from the preview key, and what a deployment notes so that it can be.

A record says of a file whether its content is a secret, and the digest of what was written. It stands beside
the file itself, for root alone, so the digest tells nobody anything new.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from portcullis.agent.store import Record
    from portcullis.resources.file.facts import FileFacts

READ_ONLY = "read-only"
PROTOCOL = 1
"""Of sessions with the preview key; a client that needs another one says so instead of guessing."""
AT_ONCE = 4
"""Requests that an agent works at side by side; more of them wait."""
UNCHANGED, CHANGED = "unchanged", "changed"
WRITTEN, SECRET = "written", "secret"
"""Notes in a record: digest of what was written, and whether a secret is in it."""
CONTAINER = "container"
"""Note in a container's record: id of the one that was declared so."""


def note(record: Record, content: str, *, secret: bool) -> None:
    """Remember of a file what was written. Somebody else saves the record."""
    record.extra[WRITTEN] = digest_of(content)
    record.extra[SECRET] = secret


def redacted(record: Record, facts: FileFacts) -> FileFacts:
    """A file's facts without its content, where that is a secret or may be one.

    What anybody on the host may read is shown, and what is still the text that the program declares. In the
    place of any other stands whether it is as `up` wrote it.
    """
    if not facts.exists or getattr(facts, "opaque", False):
        return facts
    digest = digest_of(facts.content)
    secret = record.extra.get(SECRET)
    if secret is not True and is_open_to_all(Path(record.id), facts.mode):
        return facts
    written = record.extra.get(WRITTEN)
    if secret is False and digest == written:
        return facts
    if written is None:
        raise AgentError(
            READ_ONLY,
            f"the host has no note of what was written to {record.id}",
            hint="the next `up` with the deploy key that writes the file takes one",
        )
    said = UNCHANGED if digest == written else CHANGED
    return replace(facts, content="", withheld={"content": said})


def digest_of(content: str) -> str:
    """What a record keeps of a file: it stands beside the file itself, for root alone."""
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def is_open_to_all(path: Path, mode: str) -> bool:
    """Whether every account of the host may read a file: by its mode, and by each folder on the way."""
    if not int(mode, 8) & stat.S_IROTH:
        return False
    try:
        folders = path.parent.resolve(strict=True)
        return all(os.stat(folder).st_mode & stat.S_IXOTH for folder in (folders, *folders.parents))  # noqa: PTH116
    except (OSError, RuntimeError):
        return False
