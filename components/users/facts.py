"""The data about users and administrators that the providers and the host exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.guarded import GuardedDesired
from portcullis.agent.wire import Facts, Spec

PRIVATE = "private"
"""Value of `key_files`: the files belong to the user, and no other user can read or write them."""
MEMBER = "member"
"""Value of a group in `groups`: the user is a member."""
NO_PASSWORD = "none"  # noqa: S105 - the word that stands for no password
"""Value of `password`: nobody can log in to the account with a password."""
CURRENT = "current"
"""Value of `sessions`: no session that used a removed key is open."""
SHELL = "/bin/bash"
"""The login shell of a new account without a declared shell."""
OPTIONAL = ("groups", "password", "sessions", "shell", "sudo")
"""The optional properties of a user. `up` does not change an optional property that is not declared."""

DECLARED = "declared"
"""Value of a user or file that another resource declares."""


@dataclass(frozen=True)
class UserSpec(Spec):
    """The account that the agent reads, and the properties of the account that it reads.

    Attributes:
        user: the account's name.
        keys: the declared public keys, by label. The facts give a key on the host its label, if the key is
            among these keys.
        managed: the properties of `OPTIONAL` that are declared.
    """

    user: str
    keys: Mapping[str, str]
    managed: Sequence[str]


@dataclass(frozen=True)
class UserDesired(GuardedDesired):
    """A user as declared. `up` does not manage a property that is None.

    Attributes:
        user: the account's name.
        keys: the public keys, by label, each a line of authorized_keys. sshd accepts no other key for this
            user.
        on_delete: "keep" or "remove" an account that we created.
        key_files: the declared value is `PRIVATE`. After a refresh, the value is the fault of the files if
            they have one.
        groups: all supplementary groups, each with `MEMBER`.
        password: the declared value is `NO_PASSWORD`. After a refresh, the value may also be "set" or
            "empty".
        sessions: with `CURRENT`, `up` ends the account's processes when it removes a key.
        shell: path of the login shell.
        sudo: whether the user may become root without a password. After a refresh, the value may also be a
            text that describes another rule on the host.
        system: whether a new account gets a number from the range for system accounts.
    """

    user: str
    keys: Mapping[str, str]
    on_delete: str
    key_files: str = PRIVATE
    groups: Mapping[str, str] | None = None
    password: str | None = None
    sessions: str | None = None
    shell: str | None = None
    sudo: bool | str | None = None
    system: bool = False

    @property
    def id(self) -> str:
        """Return the account's name."""
        return self.user

    def spec(self) -> UserSpec:
        """Return the account that the agent reads, and the properties that it reads."""
        managed = tuple(name for name in OPTIONAL if getattr(self, name) is not None)
        return UserSpec(self.user, self.keys, managed)


@dataclass(frozen=True)
class UserFacts(Facts):
    """An account on the host. A property that `up` does not manage is None.

    Attributes:
        keys: every public key that sshd accepts for this user, by label or fingerprint.
        key_files: `PRIVATE`, or the fault of the files that sshd reads.
        groups: supplementary groups, each with `MEMBER`.
        password: `NO_PASSWORD`, "set", or "empty". With "empty" anybody can log in without a password.
        sessions: `CURRENT`, or a text that says that sessions with a removed key are open.
        shell: path of the login shell.
        sudo: True for our sudo rule, False without a file, or a text that describes another file in its
            place.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    key_files: str = ""
    groups: Mapping[str, str] | None = None
    password: str | None = None
    sessions: str | None = None
    shell: str | None = None
    sudo: bool | str | None = None


@dataclass(frozen=True)
class AdministratorsSpec(Spec):
    """The declared users and files that let somebody become root.

    Attributes:
        users: names of users who may become root.
        files: paths below /etc/sudoers.d that other resources manage.
        login: the user that deploys, who never counts as undeclared; "" if the user is unknown.
    """

    users: Sequence[str]
    files: Sequence[str]
    login: str


@dataclass(frozen=True)
class AdministratorsDesired(GuardedDesired):
    """The declaration that only declared users may become root.

    Attributes:
        users: names of users who may become root, each with `DECLARED`.
        files: paths below /etc/sudoers.d that other resources manage, each with `DECLARED`.
        undeclared: the declared value is an empty map. After a refresh, the map has the undeclared ways to
            become root.
    """

    users: Mapping[str, str]
    files: Mapping[str, str]
    undeclared: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return the name of the kind: a host has one such resource."""
        return "users.administrators"

    def spec(self) -> AdministratorsSpec:
        """Return the declared users and files that let somebody become root."""
        return AdministratorsSpec(sorted(self.users), sorted(self.files), self.login)


@dataclass(frozen=True)
class AdministratorsFacts(Facts):
    """The undeclared ways to become root.

    Attributes:
        undeclared: the undeclared ways to become root, such as "group docker: bob" or the path of a sudoers
            file, each with a text that describes it.
    """

    undeclared: Mapping[str, str] = field(default_factory=dict)
