"""The settings of a host's users, and of the login policy for all users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from portcullis.config.forms import KeyName, Login, LoginKey
from portcullis.config.section import Section, Written
from portcullis.config.value_types import ListOf, MapOf, Number, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portcullis.config.faults import SettingPath

Group = Annotated[str, Text("a group name", r"[a-z_][a-z0-9_-]{0,31}", "write the name as in /etc/group")]
Idle = Annotated[int, Number("a number of seconds", 60, 86400)]


class UserArgs(Section):
    """A user who logs in."""

    what: ClassVar[str] = "a user"

    keys: MapOf[KeyName, LoginKey] = Field(default_factory=dict)
    """The public keys of the user, each under a name. A preview shows any other key of the user as drift."""
    sudo: bool = False
    """Whether the user may become root without a password."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse the same key under two names, because the key is only one line on the host."""
        for first, place in repeated(written):
            place.report(f"is the same key as {first}", "keep one of the two keys")


class UsersArgs(Section):
    """All users who log in to a host."""

    what: ClassVar[str] = "the users of a host"

    users: MapOf[Login, UserArgs] = Field(default_factory=dict)
    """The users by name. `up` removes the keys of root, unless root is one of these users or deploys."""
    login: Login = "root"
    """The user who deploys. A login as this user confirms each change to the other users."""
    groups: MapOf[Login, ListOf[Group]] = Field(default_factory=dict)
    """The supplementary groups of a user, by its name. Users without an entry keep their groups."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse groups of an undeclared user, and `sudo` for root."""
        users = written.entries("users")
        check_root(users)
        for name, _, place in written.items("groups"):
            if name not in users:
                place.report(
                    "is not a declared user", f"declare {name} under users, or remove the groups of {name}"
                )


class LoginPolicyArgs(Section):
    """The settings for every user who logs in."""

    what: ClassVar[str] = "a login policy"

    idle: Idle = 1800
    """A shell ends after waiting this many seconds for a command."""
    ipsec: bool = False
    """Whether the kernel may load esp4 and esp6, which IPsec and encrypted networks of Docker Swarm need."""


def check_root(users: Mapping[str, Written]) -> None:
    """Refuse `sudo` for root.

    Args:
        users: the users as written in the settings, by name.
    """
    if "root" in users and users["root"].get("sudo") is True:
        users["root"].at.field("sudo").report("has no meaning for root", "leave it out")


def repeated(written: Written) -> Iterator[tuple[str, SettingPath]]:
    """Yield each repeated key in `keys`: the name of the first key, and the place of the repeated key."""
    named: dict[str, str] = {}
    for name, line, place in written.items("keys"):
        first = named.setdefault(" ".join(str(line).split()[:2]), name)
        if first != name:
            yield first, place
