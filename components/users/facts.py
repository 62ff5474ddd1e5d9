"""The data that both halves of `User` and of `Administrators` exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional, Union

from portcullis.agent.guarded import GuardedDesired
from portcullis.agent.wire import Facts, Spec

PRIVATE = "private"
"""Value of `key_files`: the files belong to the user, and no other user can read or write them."""
MEMBER = "member"
"""Value of a group in `groups`: the user is a member."""
NO_PASSWORD = "none"  # noqa: S105 - the word that stands for no password
"""Value of `password`: nobody can log in to the account with a password."""
CURRENT = "current"
"""Value of `sessions`: no open session was opened with a key that has been removed since."""
SHELL = "/bin/bash"
"""The login shell of a new account, unless another one is declared."""
OPTIONAL = ("groups", "password", "sessions", "shell", "sudo")
"""The properties of a user that may be left out. `up` does not change a property that is left out."""

DECLARED = "declared"
"""Value of a user or file that another resource declares."""


@dataclass(frozen=True)
class UserSpec(Spec):
    """Which account to read, and which of its properties.

    Attributes:
        user: the account's name.
        keys: label to public key. The facts name a key on the host by its label if it is one of these.
        managed: the properties of `OPTIONAL` that are declared.
    """

    user: str
    keys: Mapping[str, str]
    managed: Sequence[str]


@dataclass(frozen=True)
class UserDesired(GuardedDesired):
    """A user as it is declared. A property that is None is not managed.

    Attributes:
        user: the account's name.
        keys: label to public key, a line of authorized_keys. sshd accepts no other key for this user.
        on_delete: "keep" or "remove" an account that we created.
        key_files: `PRIVATE`. In a state that was read back: what was wrong with the files.
        groups: all supplementary groups, each with `MEMBER`.
        password: `NO_PASSWORD`. In a state that was read back: also "set" or "empty".
        sessions: `CURRENT` ends the account's processes when a key is removed.
        shell: path of the login shell.
        sudo: whether the user may become root without a password. In a state that was read back: also a text
            that tells what the sudo rule says.
        system: whether a new account gets a number of the system's range.
    """

    user: str
    keys: Mapping[str, str]
    on_delete: str
    key_files: str = PRIVATE
    groups: Optional[Mapping[str, str]] = None
    password: Optional[str] = None
    sessions: Optional[str] = None
    shell: Optional[str] = None
    sudo: Optional[Union[bool, str]] = None
    system: bool = False

    @property
    def id(self) -> str:
        """Return the account's name."""
        return self.user

    def spec(self) -> UserSpec:
        """Return which account to read, and which of its properties."""
        managed = tuple(name for name in OPTIONAL if getattr(self, name) is not None)
        return UserSpec(self.user, self.keys, managed)


@dataclass(frozen=True)
class UserFacts(Facts):
    """An account as it is on the host. A property that is not managed is None.

    Attributes:
        keys: label or fingerprint to public key: every key that sshd accepts for this user.
        key_files: `PRIVATE`, or what is wrong with the files that sshd reads.
        groups: supplementary groups, each with `MEMBER`.
        password: `NO_PASSWORD`, "set", or "empty". With "empty" anybody can log in without a password.
        sessions: `CURRENT`, or a text that some sessions were opened with a removed key.
        shell: path of the login shell.
        sudo: whether the file with our sudo rule is as we write it. A text tells what is there instead.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    key_files: str = ""
    groups: Optional[Mapping[str, str]] = None
    password: Optional[str] = None
    sessions: Optional[str] = None
    shell: Optional[str] = None
    sudo: Optional[Union[bool, str]] = None


@dataclass(frozen=True)
class AdministratorsSpec(Spec):
    """Who may become root.

    Attributes:
        users: names of users who may become root.
        files: paths below /etc/sudoers.d that other resources manage.
        login: the user that deploys, who never counts as undeclared. "" if it is unknown.
    """

    users: Sequence[str]
    files: Sequence[str]
    login: str


@dataclass(frozen=True)
class AdministratorsDesired(GuardedDesired):
    """The declaration that nobody else may become root.

    Attributes:
        users: names of users who may become root, each with `DECLARED`.
        files: paths below /etc/sudoers.d that other resources manage, each with `DECLARED`.
        undeclared: empty. In a state that was read back: undeclared ways to become root.
    """

    users: Mapping[str, str]
    files: Mapping[str, str]
    undeclared: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return the name of the kind: a host has one such resource."""
        return "users.administrators"

    def spec(self) -> AdministratorsSpec:
        """Return who may become root."""
        return AdministratorsSpec(sorted(self.users), sorted(self.files), self.login)


@dataclass(frozen=True)
class AdministratorsFacts(Facts):
    """The undeclared ways to become root.

    Attributes:
        undeclared: a way to become root, such as "group docker: bob" or the path of a sudoers file, to a text
            that describes it.
    """

    undeclared: Mapping[str, str] = field(default_factory=dict)
