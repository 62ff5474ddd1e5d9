"""What both halves of `Directory` exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from portcullis.agent.wire import Desired, Facts, Spec


@dataclass(frozen=True)
class DirectorySpec(Spec):
    """Where a folder is."""

    path: str


@dataclass(frozen=True)
class DirectoryDesired(Desired):
    """A folder as it is declared.

    Attributes:
        path: absolute path.
        owner: user name or number.
        group: group name or number.
        mode: permission bits, four octal digits.
        on_delete: remove or keep.
        make_parents: make missing folders above it, for root alone.
    """

    path: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0755"
    on_delete: str = "remove"
    make_parents: bool = False

    @property
    def id(self) -> str:
        """Its path."""
        return self.path

    def spec(self) -> DirectorySpec:
        """Return where the folder is."""
        return DirectorySpec(self.path)


@dataclass(frozen=True)
class DirectoryFacts(Facts):
    """A folder as it is.

    Attributes:
        owner: user name.
        group: group name.
        mode: permission bits, four octal digits. Something else than a folder is described in angle brackets.
        owner_id: the user's number.
        group_id: the group's number.
    """

    owner: str = ""
    group: str = ""
    mode: str = ""
    owner_id: Optional[str] = None
    group_id: Optional[str] = None
