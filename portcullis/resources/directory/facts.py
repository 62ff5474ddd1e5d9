"""The data that provider and agent exchange about a `Directory`."""

from __future__ import annotations

from dataclasses import dataclass

from portcullis.agent.wire import Desired, Facts, Spec


@dataclass(frozen=True)
class DirectorySpec(Spec):
    """The path of a folder."""

    path: str


@dataclass(frozen=True)
class DirectoryDesired(Desired):
    """A folder as it is declared in the Pulumi program.

    Attributes:
        path: absolute path.
        owner: user name or number.
        group: group name or number.
        mode: permission bits, four octal digits.
        on_delete: remove or keep.
        make_parents: whether to make missing folders above the declared folder, for root alone.
    """

    path: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0755"
    on_delete: str = "remove"
    make_parents: bool = False

    @property
    def id(self) -> str:
        """The path of the folder."""
        return self.path

    def spec(self) -> DirectorySpec:
        """Return the path of the folder as a spec."""
        return DirectorySpec(self.path)


@dataclass(frozen=True)
class DirectoryFacts(Facts):
    """A folder as it is on the host.

    Attributes:
        owner: user name.
        group: group name.
        mode: permission bits, four octal digits. If the path is no folder, the value is a description in
            angle brackets.
        owner_id: the user's number.
        group_id: the group's number.
    """

    owner: str = ""
    group: str = ""
    mode: str = ""
    owner_id: str | None = None
    group_id: str | None = None
