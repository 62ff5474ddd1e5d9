"""Redaction: hides secrets from clients that log in with the preview key.

A deployment writes a record of each file. The record says whether the content is a secret, and has the digest
of the written content. Only root can read the record, and root can read the file too. So the digest reveals
nothing new.
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
PROTOCOL = 3
"""Version of the protocol that an agent uses with clients that have the preview key.

A client that needs another version prints an error and stops.
"""
AT_ONCE = 4
"""The number of requests that an agent handles at the same time. Further requests wait until another request
is done."""
UNCHANGED, CHANGED = "unchanged", "changed"
WRITTEN, SECRET = "written", "secret"
"""The keys of two notes in a record: the digest of the written content, and whether it is a secret."""
CONTAINER = "container"
"""The key of the note with a container's id at the last `up`. The note is in the record of its state."""


def note(record: Record, content: str, *, secret: bool) -> None:
    """Add the digest of the written content to a file's record. The caller saves the record."""
    record.extra[WRITTEN] = digest_of(content)
    record.extra[SECRET] = secret


def redacted(record: Record, facts: FileFacts) -> FileFacts:
    """Return a file's facts. Leave out the content if it is or may be a secret.

    The content is shown in two cases: every account of the host may read it, or `up` wrote it and it is no
    secret. In all other cases, the facts only say whether the content is still as `up` wrote it.
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
            f"the host did not record the content that `up` wrote to {record.id}",
            hint="run `up` with the deploy key: when `up` next writes the file, it records the content",
        )
    said = UNCHANGED if digest == written else CHANGED
    return replace(facts, content="", redacted={"content": said})


def digest_of(content: str) -> str:
    """Return the digest of a file's content, in the form that records use."""
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def is_open_to_all(path: Path, mode: str) -> bool:
    """Return whether the modes of a file and its folders let every account of the host read the file."""
    if not int(mode, 8) & stat.S_IROTH:
        return False
    try:
        folders = path.parent.resolve(strict=True)
        return all(os.stat(folder).st_mode & stat.S_IXOTH for folder in (folders, *folders.parents))  # noqa: PTH116
    except (OSError, RuntimeError):
        return False
