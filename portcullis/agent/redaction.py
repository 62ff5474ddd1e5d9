"""Redaction: what the preview key may not see, and the notes of a deployment that decide it.

A file's record says whether the content is a secret, and has the digest of the written content. Only root can
read the record, and root can read the file too. So the digest reveals nothing new.
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
PROTOCOL = 2
"""Version of the protocol for the preview key. A client that needs another version reports that and stops."""
AT_ONCE = 4
"""Requests that an agent handles at the same time. Further requests wait."""
UNCHANGED, CHANGED = "unchanged", "changed"
WRITTEN, SECRET = "written", "secret"
"""Notes in a record: the digest of the written content, and whether it holds a secret."""
CONTAINER = "container"
"""Note in the record of a container's state: the container's id at the last `up`."""


def note(record: Record, content: str, *, secret: bool) -> None:
    """Note in a file's record what was written. The caller saves the record."""
    record.extra[WRITTEN] = digest_of(content)
    record.extra[SECRET] = secret


def redacted(record: Record, facts: FileFacts) -> FileFacts:
    """Return a file's facts, without the content where that is or may be a secret.

    Two contents are shown: one that every account of the host may read, and one that `up` wrote and that is
    no secret. For other files, the facts only say whether the content is still as `up` wrote it.
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
            hint="the next `up` that writes the file makes this note; it needs the deploy key",
        )
    said = UNCHANGED if digest == written else CHANGED
    return replace(facts, content="", redacted={"content": said})


def digest_of(content: str) -> str:
    """Return the digest of a content, as a record has it."""
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def is_open_to_all(path: Path, mode: str) -> bool:
    """Return whether every account of the host may read a file: by its mode, and by each folder above it."""
    if not int(mode, 8) & stat.S_IROTH:
        return False
    try:
        folders = path.parent.resolve(strict=True)
        return all(os.stat(folder).st_mode & stat.S_IXOTH for folder in (folders, *folders.parents))  # noqa: PTH116
    except (OSError, RuntimeError):
        return False
