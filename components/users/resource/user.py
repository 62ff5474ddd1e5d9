"""A user on a host: its keys, its groups, its shell, and its right to become root."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from portcullis.agent.quotes import quoted
from portcullis.components.users.facts import (
    CURRENT,
    MEMBER,
    NO_PASSWORD,
    OPTIONAL,
    PRIVATE,
    SHELL,
    UserDesired,
    UserFacts,
)
from portcullis.components.users.on_host.authorized_keys import parse
from portcullis.host.guarded import GuardedProvider
from portcullis.host.provider import ABSENT, Normaliser, is_known
from portcullis.host.resource import HostResource
from portcullis.host.session import Login
from portcullis.provider.changes import Line, Section, Severity, difference, with_rest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

# useradd(8), "CAVEATS": the names of users and groups that Debian and Ubuntu accept.
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_ROOT = "root"
_NOTHING: Mapping[str, Any] = {}


class UserProvider(GuardedProvider):
    """Provider of `User`."""

    kind = "users.users"
    section = Section.ACCESS
    desired_type = UserDesired
    facts_type = UserFacts
    live = ("keys", "key_files", *OPTIONAL)
    identity = ("host", "user")
    sets = MappingProxyType({"groups": MEMBER})

    def normalise(self, inputs: Normaliser) -> None:
        """Check the name, each key and the shell."""
        user = inputs.text("user")
        if user is not None and not _NAME.match(user):
            inputs.fail("user", f"{user!r} is not a user name, such as deploy")
        _keys(inputs)
        inputs.keep("groups", "sudo", "system")
        groups = inputs.news.get("groups") or ()
        for group in groups if is_known(groups) else ():
            if not _NAME.match(group):
                inputs.fail("groups", f"{group!r} is not a group name")
        if inputs.news.get("shell") is not None:
            inputs.path("shell")
        inputs.one_of("on_delete", "keep", "remove")
        if user == _ROOT:
            if inputs.news.get("sudo") is not None:
                inputs.fail("sudo", "root needs no sudo; remove this argument")
            if inputs.news.get("on_delete") == "remove":
                inputs.fail("on_delete", "root cannot be removed")
        else:
            # A refresh reads back "set" if somebody gives the account a password.
            inputs.inputs["password"] = NO_PASSWORD
        if inputs.news.get("sessions"):
            if user == _ROOT:
                inputs.fail("end_sessions", "must not be set for root: `up` would end its own session")
            # A refresh reads back another value while sessions of a removed key are open.
            inputs.inputs["sessions"] = CURRENT
        # A refresh reads back the fault if other users can read or write the files.
        inputs.inputs["key_files"] = PRIVATE

    def absent_inputs(self) -> Props:
        """Return the inputs of an account that does not exist."""
        return {"keys": {}, "key_files": ABSENT}

    def login(self, props: Props) -> Login:
        """Return a login as the declared user.

        At the first deploy, Portcullis logs in as the user of the setting `bootstrap`. That login does not
        show whether the declared user can log in.
        """
        del props
        return Login(declared=True)

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Return a line for each key, group and property that differs: each key may let somebody in."""
        found = []
        for label, live, goal in change.entries("keys"):
            at = ("keys", label)
            added = change.by_hand(at)
            if goal is None:
                more = _described(label, str(live)) if added else ""
                what, remedy = (
                    f'key "{label}" ' + (f"added{more}" if added else "no longer declared"),
                    "up removes it",
                )
            elif live is None:
                what, remedy = f'key "{label}" ' + ("is gone" if added else "declared"), "up adds it"
            else:
                what, remedy = f'key "{label}" is a different key', "up replaces it"
            severity = (Severity.WRONG if live is None else Severity.OPEN) if added else Severity.COSMETIC
            found.append(Line(subject, what, remedy, severity, at=at))
        for group, live, _ in change.entries("groups"):
            at = ("groups", group)
            severity = Severity.OPEN if live and change.by_hand(at) else Severity.COSMETIC
            what, remedy = (
                (f"in group {group}", "up removes it from the group")
                if live
                else (f"not in group {group}", "")
            )
            found.append(Line(subject, what, remedy, severity, at=at, topic=f"group {group}: {subject}"))
        for name, what in (
            ("password", "can log in with a password"),
            ("key_files", f"key files: {change.live.get('key_files')}"),
            ("sudo", difference(change, "sudo")),
            ("shell", difference(change, "shell")),
            ("sessions", "sessions that used a removed key are still open"),
        ):
            if change.changes(name):
                danger = name != "shell" and change.by_hand((name,))
                severity = Severity.OPEN if danger else Severity.COSMETIC
                found.append(Line(subject, what, "", severity, at=(name,)))
        return with_rest(change, subject, found)


def _described(label: str, line: str) -> str:
    """Return the comment of an undeclared key in quotes, with the path of its file if this is not our own."""
    key = parse(line)
    if key is None or not label.startswith(key.fingerprint):
        return ""
    return f", {quoted(key.comment)}" if key.comment else ""


def _keys(inputs: Normaliser) -> None:
    keys = inputs.news.get("keys") or {}
    inputs.inputs["keys"] = keys
    if not is_known(keys):
        return
    labels: dict[str, str] = {}
    spelt: dict[str, Any] = {}
    for label, line in keys.items():
        spelt[label] = line
        if not _LABEL.match(label):
            inputs.fail("keys", f"{label!r} is not a label; write a short name such as laptop or ci")
        if not is_known(line):
            continue
        key = parse(line) if isinstance(line, str) and line.strip().isprintable() else None
        if key is None:
            inputs.fail(
                f"keys.{label}",
                "is not a public key; write the line of the .pub file, `ssh-ed25519 AAAA… you@laptop`",
            )
        elif key.blob in labels:
            inputs.fail(f"keys.{label}", f"is the same key as {labels[key.blob]}")
        else:
            labels[key.blob] = label
            spelt[label] = line.strip()
    inputs.inputs["keys"] = spelt


class User(HostResource):
    """An account on a host, new or existing.

    People and machines log in with a key, and never with a password.

    A refresh reads every key that sshd accepts for the account, from all files that sshd reads. A preview
    shows an undeclared key by its fingerprint, and `up` removes it. A change that could lock out the user
    that deploys stays only after a new login has worked.
    """

    user: pulumi.Output[str]
    keys: pulumi.Output[Mapping[str, str]]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        user: str,
        keys: Mapping[str, pulumi.Input[str]] = _NOTHING,
        sudo: bool | None = False,
        shell: str | None = SHELL,
        groups: Sequence[str] | None = None,
        system: bool = False,
        end_sessions: bool = False,
        on_delete: Literal["keep", "remove"] = "keep",
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the user.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            user: the account's name. For root, `up` manages only the keys, unless you declare other
                properties.
            keys: the public keys, by label, each a line of authorized_keys, with its options if it has any.
            sudo: whether the user may become root without a password. With None, `up` does not manage sudo.
            shell: login shell. With None, `up` does not manage the shell, and a new account gets /bin/bash.
            groups: all supplementary groups of the user. With None, `up` does not manage the groups. `up`
                creates a missing group, and a package that needs the group later uses it.
            system: give a new account a number from the range for system accounts.
            end_sessions: end every process of the account when a key is removed or changed, and when this
                resource is deleted. Otherwise open sessions stay, because sshd checks a key only at login.
                Set this argument for accounts that run no programs of their own.
            on_delete: what happens to an account that we created. "remove" removes the account, but never its
                home. A delete always removes the keys and the sudo rule. The account of the user that deploys
                is never removed.
            adopt: let the first `up` change an existing account whose keys or shell differ. A delete restores
                the former values.
            opts: resource options.
        """
        if user == _ROOT:
            sudo = sudo or None
            shell = None if shell == SHELL else shell
        inputs = {
            "user": user,
            "keys": dict(keys),
            "sudo": sudo,
            "shell": shell,
            "groups": None if groups is None else dict.fromkeys(sorted(groups), MEMBER),
            "system": system or None,
            "sessions": CURRENT if end_sessions else None,
            "on_delete": on_delete,
            "key_files": PRIVATE,
            "password": None if user == _ROOT else NO_PASSWORD,
        }
        super().__init__(
            UserProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={key: value for key, value in inputs.items() if value is not None},
            outputs=(),
            opts=opts,
        )
