"""The data that provider and agent exchange about a `Tree`.

The bytes of files are sent separately, before the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec


@dataclass(frozen=True)
class TreeSpec(Spec):
    """The path of a tree."""

    path: str


@dataclass(frozen=True)
class TreeDesired(Desired):
    """A tree as it is declared in the Pulumi program.

    Attributes:
        path: absolute path of the symbolic link.
        files: for each relative path with forward slashes, the SHA-256 of the file in hex.
        owner: user name or number of all files.
        group: group name or number of all files.
        on_delete: remove or keep.
    """

    path: str
    files: Mapping[str, str]
    owner: str = "root"
    group: str = "root"
    on_delete: str = "remove"

    @property
    def id(self) -> str:
        """The path of the tree."""
        return self.path

    def spec(self) -> TreeSpec:
        """Return the path of the tree as a spec."""
        return TreeSpec(self.path)


@dataclass(frozen=True)
class TreeFacts(Facts):
    """A tree as it is on the host.

    Attributes:
        files: for each relative path, the SHA-256 of the file in hex. An entry that is not a plain file with
            our mode is described in angle brackets. The entry "." describes the folder itself, if owner or
            mode of the folder are wrong.
        owner: name of the user who owns all files; several names are joined by "and".
        group: name of the group that owns all files; several names are joined by "and".
        owner_id: number of the user who owns all files; several numbers are joined by "and".
        group_id: number of the group that owns all files; several numbers are joined by "and".
    """

    files: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    group: str = ""
    owner_id: str | None = None
    group_id: str | None = None
