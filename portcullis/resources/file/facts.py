"""What both halves of `File` exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from portcullis.agent.wire import Desired, Facts, Spec

MAX_CONTENT = 100_000
"""Most bytes of UTF-8 in a `File`, because its content is in state and in previews. A `Tree` has no limit."""


@dataclass(frozen=True)
class FileSpec(Spec):
    """Where a file is."""

    path: str


@dataclass(frozen=True)
class FileDesired(Desired):
    """A file as it is declared.

    Attributes:
        path: absolute path.
        content: the text.
        owner: user name or number.
        group: group name or number.
        mode: permission bits, four octal digits.
        validate: command that checks the new file before it replaces the old one; `{path}` is the new file.
        test: command that checks the whole configuration that the file is a part of.
        on_delete: restore, remove or keep.
        secret: the content is a secret. No message may quote it.
    """

    path: str
    content: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"
    validate: Optional[Sequence[str]] = None
    test: Optional[Sequence[str]] = None
    on_delete: str = "restore"
    secret: bool = False

    @property
    def id(self) -> str:
        """Its path."""
        return self.path

    def spec(self) -> FileSpec:
        """Return where the file is."""
        return FileSpec(self.path)


@dataclass(frozen=True)
class FileFacts(Facts):
    """A file as it is.

    Attributes:
        content: its text; "" where it is redacted. Angle brackets describe content that cannot be shown.
        owner: user name.
        group: group name.
        mode: permission bits, four octal digits.
        owner_id: the user's number.
        group_id: the group's number.
        redacted: by the name of a fact that the preview key may not see, whether its value is still the one
            that `up` wrote: "unchanged" or "changed" (see agent/redaction.py).
    """

    content: str = ""
    owner: str = ""
    group: str = ""
    mode: str = ""
    owner_id: Optional[str] = None
    group_id: Optional[str] = None
    redacted: Optional[Mapping[str, str]] = None
