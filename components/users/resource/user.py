"""A user on a host: who may log in, with which keys, and whether they may become root."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

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

# useradd(8), "CAVEATS": what Debian and Ubuntu take for a name of a user or group.
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
            inputs.fail("user", f"{user!r} is not the name of a user, such as deploy")
        _keys(inputs)
        inputs.keep("groups", "sudo", "system")
        groups = inputs.news.get("groups") or ()
        for group in groups if is_known(groups) else ():
            if not _NAME.match(group):
                inputs.fail("groups", f"{group!r} is not the name of a group")
        if inputs.news.get("shell") is not None:
            inputs.path("shell")
        inputs.one_of("on_delete", "keep", "remove")
        if user == _ROOT:
            if inputs.news.get("sudo") is not None:
                inputs.fail("sudo", "root needs no sudo; leave it out")
            if inputs.news.get("on_delete") == "remove":
                inputs.fail("on_delete", "root cannot be removed")
        else:
            # Read back as "set" when somebody gives the account one.
            inputs.inputs["password"] = NO_PASSWORD
        if inputs.news.get("sessions"):
            if user == _ROOT:
                inputs.fail(
                    "end_sessions", "root's sessions are not ended: the deployment's may be one of them"
                )
            # Read back as what they are while some have outlived a change of keys.
            inputs.inputs["sessions"] = CURRENT
        # Read back as what is wrong when the files are not the user's alone.
        inputs.inputs["key_files"] = PRIVATE

    def absent_inputs(self) -> Props:
        """Return an account that is not there."""
        return {"keys": {}, "key_files": ABSENT}

    def login(self, props: Props) -> Login:
        """Return the declared login: a first contact as somebody else does not vouch for it."""
        del props
        return Login(declared=True)

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Say it key by key and group by group: each of them may be a way in."""
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
                what, remedy = f'key "{label}" is another one', "up replaces it"
            severity = (Severity.WRONG if live is None else Severity.OPEN) if added else Severity.COSMETIC
            found.append(Line(subject, what, remedy, severity, at=at))
        for group, live, _ in change.entries("groups"):
            at = ("groups", group)
            severity = Severity.OPEN if live and change.by_hand(at) else Severity.COSMETIC
            what, remedy = (f"in group {group}", "up takes it out") if live else (f"not in group {group}", "")
            found.append(Line(subject, what, remedy, severity, at=at, topic=f"group {group}: {subject}"))
        for name, what in (
            ("password", "can log in with a password"),
            ("key_files", f"key files: {change.live.get('key_files')}"),
            ("sudo", difference(change, "sudo")),
            ("shell", difference(change, "shell")),
            ("sessions", "sessions of a removed key are open"),
        ):
            if change.changes(name):
                danger = name != "shell" and change.by_hand((name,))
                severity = Severity.OPEN if danger else Severity.COSMETIC
                found.append(Line(subject, what, "", severity, at=(name,)))
        return with_rest(change, subject, found)


def _described(label: str, line: str) -> str:
    """Return whose a key says it is, and in which file it stands, where that is not our own."""
    line, _, place = line.partition(" (in /")
    key = parse(line)
    comment = f', "{key.comment}"' if key and key.comment and label == key.fingerprint else ""
    return comment + (f", in /{place.rstrip(')')}" if place else "")


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
            inputs.fail("keys", f"{label!r} is not a label; name whose key it is, such as laptop or ci")
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
    """An account on a host, new or already there: people or machines log in by key, never by password.

    Every key that lets in is read back, in whichever file sshd looks for them: one that is not declared is a
    line in a preview, by its fingerprint, and is taken out. A change that could keep out the user that
    deploys stays only after a fresh login.
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
            user: the account's name; root too, of which the keys alone are managed unless more is declared.
            keys: label to public key: a line of authorized_keys, with its options if it has any.
            sudo: may become root without a password; None leaves that alone.
            shell: login shell; None leaves it alone. A new account gets /bin/bash.
            groups: its supplementary groups, these and no other; None leaves them alone. One that is not
                there yet is made, for the package that brings it later.
            system: a new account gets a number of the system's range.
            end_sessions: end every process of the account when a key is taken away or changed, and when this
                is deleted: sshd asks for the key at the start of a connection only. For accounts that run
                nothing of their own.
            on_delete: what becomes of an account that we made. Its keys and its sudo go in any case, and its
                home never does; "remove" removes the account itself. The user that deploys is kept.
            adopt: take over an account whose keys or shell differ; what was there comes back on delete.
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
