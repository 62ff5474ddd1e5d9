"""What both halves of `Tree` exchange. The bytes of files are sent separately, before the change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from portcullis.agent.wire import Desired, Facts, Spec


@dataclass(frozen=True)
class TreeSpec(Spec):
    """Where a tree is."""

    path: str


@dataclass(frozen=True)
class TreeDesired(Desired):
    """A tree as it is declared.

    Attributes:
        path: absolute path of the symbolic link.
        files: map of relative path, with forward slashes, to SHA-256 in hex.
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
        """Its path."""
        return self.path

    def spec(self) -> TreeSpec:
        """Return where the tree is."""
        return TreeSpec(self.path)


@dataclass(frozen=True)
class TreeFacts(Facts):
    """A tree as it is.

    Attributes:
        files: map of relative path to SHA-256 in hex. An entry that is not a plain file with our mode is
            described in angle brackets. "." is the folder itself, if it is not as it should be.
        owner: name of the user who owns all files; several names are joined by "and".
        group: name of the group that owns all files; several names are joined by "and".
        owner_id: the user's number, in the same form.
        group_id: the group's number, in the same form.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    group: str = ""
    owner_id: Optional[str] = None
    group_id: Optional[str] = None
