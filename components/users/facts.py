"""What both halves of `User` and of `Administrators` exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional, Union

from portcullis.agent.guarded import GuardedDesired
from portcullis.agent.wire import Facts, Spec

PRIVATE = "private"
"""`key_files`: they belong to the user, and nobody else can write or read them."""
MEMBER = "member"
"""Stands for the user's membership in a group."""
NO_PASSWORD = "none"  # noqa: S105 - a word for that there is none
"""`password`: nobody can log in with one."""
CURRENT = "current"
"""`sessions`: none of them was opened with a key that is gone by now."""
SHELL = "/bin/bash"
"""The login shell of a new account, where nothing else is declared."""
OPTIONAL = ("groups", "password", "sessions", "shell", "sudo")
"""What may be left out of what is declared of a user; it is then left alone."""

DECLARED = "declared"
"""Stands for a user or file that is declared elsewhere."""


@dataclass(frozen=True)
class UserSpec(Spec):
    """Which account, and what is asked about it.

    Attributes:
        user: the account's name.
        keys: label to public key; a key on the host that is one of them is told by its label.
        managed: those of `OPTIONAL` that are declared.
    """

    user: str
    keys: Mapping[str, str]
    managed: Sequence[str]


@dataclass(frozen=True)
class UserDesired(GuardedDesired):
    """A user as it is declared. What is None is left alone.

    Attributes:
        user: the account's name.
        keys: label to public key, a line of authorized_keys; no other key lets anybody in.
        on_delete: keep or remove an account that we made.
        key_files: `PRIVATE`; in a state that was read back, what was wrong with the files.
        groups: supplementary groups, each with `MEMBER`; these and no other.
        password: `NO_PASSWORD`; in a state that was read back, also "set" or "empty".
        sessions: `CURRENT` ends the account's processes when a key goes.
        shell: path of the login shell.
        sudo: may become root without a password; in a state that was read back, also what its rule says.
        system: a new account gets a number of the system's range.
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
        """The account's name."""
        return self.user

    def spec(self) -> UserSpec:
        """Return the name, with the keys that have a label."""
        managed = tuple(name for name in OPTIONAL if getattr(self, name) is not None)
        return UserSpec(self.user, self.keys, managed)


@dataclass(frozen=True)
class UserFacts(Facts):
    """An account as it is. What is not managed is None.

    Attributes:
        keys: label or fingerprint to public key: every key that lets somebody in.
        key_files: `PRIVATE`, or what is wrong with the files that sshd reads.
        groups: supplementary groups, each with `MEMBER`.
        password: `NO_PASSWORD`, "set", or "empty": whoever asks is let in.
        sessions: `CURRENT`, or that some were opened with a key that is gone.
        shell: path of the login shell.
        sudo: whether our rule is there as we write it; a text says what is there instead.
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
    """Who is declared.

    Attributes:
        users: names of users who may become root.
        files: paths below /etc/sudoers.d that other resources manage.
        login: the user that deploys, who is never told as undeclared; "" where nothing says who it is.
    """

    users: Sequence[str]
    files: Sequence[str]
    login: str


@dataclass(frozen=True)
class AdministratorsDesired(GuardedDesired):
    """That nobody else may become root.

    Attributes:
        users: names of users who may, each with `DECLARED`.
        files: paths below /etc/sudoers.d that other resources manage, each with `DECLARED`.
        undeclared: empty; in a state that was read back, whoever else might become root.
    """

    users: Mapping[str, str]
    files: Mapping[str, str]
    undeclared: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The name of the kind: a host has one."""
        return "users.administrators"

    def spec(self) -> AdministratorsSpec:
        """Return who is declared."""
        return AdministratorsSpec(sorted(self.users), sorted(self.files), self.login)


@dataclass(frozen=True)
class AdministratorsFacts(Facts):
    """Who may become root without being declared.

    Attributes:
        undeclared: a way to become root, such as "group docker: bob" or a sudoers file's path, to what it is.
    """

    undeclared: Mapping[str, str] = field(default_factory=dict)
