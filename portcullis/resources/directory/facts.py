"""The declaration of `Directory`, and the data that provider and agent exchange about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from portcullis.agent.declared import (
    MODE,
    PATH,
    TEXT,
    Asked,
    Declaration,
    DeclaredDesired,
    DeclaredSpec,
    Prop,
    prop,
)
from portcullis.agent.wire import Facts


class DirectoryProps(
    Declaration, adopt="whether to take over a folder that exists with another owner or mode."
):
    """The properties of a folder."""

    path: Asked[str] = prop(form=PATH, identity=True)
    """absolute path; without `make_parents`, the folder above it must exist."""
    owner: Prop[str] = prop(default="root", form=TEXT)
    """user name."""
    group: Prop[str] = prop(default="root", form=TEXT)
    """group name."""
    mode: Prop[str] = prop(default="0755", form=MODE)
    """permission bits in octal, such as "0750"."""
    on_delete: Prop[Literal["remove", "keep"]] = prop(default="remove")
    """remove the folder if it is empty, or keep it."""
    make_parents: Prop[bool] = prop(default=False, omit=True)
    """whether to make missing folders above this folder. Only root can enter the new folders (0700). Such a
    new folder is removed together with the last declared folder in it."""


class DirectorySpec(DirectoryProps, DeclaredSpec):
    """The path of a folder."""


class DirectoryDesired(DirectoryProps, DeclaredDesired):
    """A folder as it is declared in the Pulumi program."""

    spec_type = DirectorySpec


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
