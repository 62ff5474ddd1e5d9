"""What both halves of `Tree` exchange. Bytes travel by themselves, before the change."""

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
        files: relative path, with forward slashes, to SHA-256 in hex.
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
        """Return where it is."""
        return TreeSpec(self.path)


@dataclass(frozen=True)
class TreeFacts(Facts):
    """A tree as it is.

    Attributes:
        files: relative path to SHA-256 in hex; in angle brackets what is there instead of a plain file with
            our mode. "." stands for the folder itself, where it is not as it should be.
        owner: name of the user who has all files; several are joined by "and".
        group: name of the group that has all files, likewise.
        owner_id: the user's number, likewise.
        group_id: the group's number, likewise.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    group: str = ""
    owner_id: Optional[str] = None
    group_id: Optional[str] = None
