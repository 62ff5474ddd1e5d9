"""The data that provider and agent exchange about a `File`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from portcullis.agent.wire import Desired, Facts, Spec

MAX_CONTENT = 100_000
"""The content of a `File` has at most this many bytes of UTF-8.

There is a limit, because the state and previews contain the content. A `Tree` has no limit.
"""


@dataclass(frozen=True)
class FileSpec(Spec):
    """The path of a file."""

    path: str


@dataclass(frozen=True)
class FileDesired(Desired):
    """A file as it is declared in the Pulumi program.

    Attributes:
        path: absolute path.
        content: the text.
        owner: user name or number.
        group: group name or number.
        mode: permission bits, four octal digits.
        validate: command that checks the new file before it replaces the old one; `{path}` is the new file.
        test: command that checks the whole configuration that the file is a part of.
        on_delete: restore, remove or keep.
        secret: whether the content is a secret, which no message may quote.
    """

    path: str
    content: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"
    validate: Sequence[str] | None = None
    test: Sequence[str] | None = None
    on_delete: str = "restore"
    secret: bool = False

    @property
    def id(self) -> str:
        """The path of the file."""
        return self.path

    def spec(self) -> FileSpec:
        """Return the path of the file as a spec."""
        return FileSpec(self.path)


@dataclass(frozen=True)
class FileFacts(Facts):
    """A file as it is on the host.

    Attributes:
        content: the file's text; "" where the text is redacted. Angle brackets describe content that cannot
            be shown.
        owner: user name.
        group: group name.
        mode: permission bits, four octal digits.
        owner_id: the user's number.
        group_id: the group's number.
        redacted: the facts that a client with the preview key may not see (see agent/redaction.py). The value
        of a name is "unchanged" if the fact is still as `up` wrote it, else "changed".
    """

    content: str = ""
    owner: str = ""
    group: str = ""
    mode: str = ""
    owner_id: str | None = None
    group_id: str | None = None
    redacted: Mapping[str, str] | None = None
