"""Who logs in to a host, and what holds for everybody who does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from portcullis.config.forms import KeyName, Login, LoginKey
from portcullis.config.section import Section, Written
from portcullis.config.value_types import ListOf, MapOf, Number, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portcullis.config.faults import SettingPath

Group = Annotated[
    str, Text("the name of a group", r"[a-z_][a-z0-9_-]{0,31}", "write the name as in /etc/group")
]
Idle = Annotated[int, Number("a number of seconds", 60, 86400)]


class UserArgs(Section):
    """Somebody who logs in."""

    what: ClassVar[str] = "a user"

    keys: MapOf[KeyName, LoginKey] = Field(default_factory=dict)
    """The public keys that let them in, by a name for each. Any other key on the host is drift."""
    sudo: bool = False
    """May become root without a password."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse one key under two names: on the host it is one line."""
        for first, place in repeated(written):
            place.report(f"is the same key as {first}", "keep one of the two")


class UsersArgs(Section):
    """Everybody who logs in to a host."""

    what: ClassVar[str] = "the users of a host"

    users: MapOf[Login, UserArgs] = Field(default_factory=dict)
    """The users by name, each with its keys and whether it may become root. Root has no key, unless it is one
    of these or deploys itself."""
    login: Login = "root"
    """The user who deploys; changes to the other users are confirmed by a login as this one."""
    groups: MapOf[Login, ListOf[Group]] = Field(default_factory=dict)
    """The supplementary groups of a user, by its name. The groups of all other users stay as they are."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse groups of nobody, and what root has anyway."""
        users = written.entries("users")
        check_root(users)
        for name, _, place in written.items("groups"):
            if name not in users:
                place.report("is none of the users", f"declare {name} under users, or leave its groups out")


class LoginPolicyArgs(Section):
    """What holds for everybody who logs in."""

    what: ClassVar[str] = "a login policy"

    idle: Idle = 1800
    """Seconds after which a shell that waits for a command ends."""


def check_root(users: Mapping[str, Written]) -> None:
    """Refuse `sudo` for root.

    Args:
        users: the users as they were written, by name.
    """
    if "root" in users and users["root"].get("sudo") is True:
        users["root"].at.field("sudo").report("has no meaning for root", "leave it out")


def repeated(written: Written) -> Iterator[tuple[str, SettingPath]]:
    """Give the place of each key in `keys` that is there already, and the name of the first one."""
    named: dict[str, str] = {}
    for name, line, place in written.items("keys"):
        first = named.setdefault(" ".join(str(line).split()[:2]), name)
        if first != name:
            yield first, place
