"""The undeclared ways to become root on a host."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from portcullis.components.users.facts import DECLARED, AdministratorsDesired, AdministratorsFacts
from portcullis.host.guarded import GuardedProvider
from portcullis.host.resource import HostResource
from portcullis.host.session import Login
from portcullis.provider.changes import Line, Section, Severity, with_rest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from portcullis.host.host import Host
    from portcullis.host.provider import Normaliser
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change


class AdministratorsProvider(GuardedProvider):
    """Provider of `Administrators`."""

    kind = "users.administrators"
    section = Section.ACCESS
    desired_type = AdministratorsDesired
    facts_type = AdministratorsFacts
    live = ("undeclared",)
    identity = ("host",)
    sets = MappingProxyType({"users": DECLARED, "files": DECLARED})

    def normalise(self, inputs: Normaliser) -> None:
        """Keep the declared users and files."""
        inputs.inputs["users"] = inputs.news.get("users") or {}
        inputs.inputs["files"] = inputs.news.get("files") or {}
        # A read returns the undeclared ways to become root here.
        inputs.inputs["undeclared"] = {}

    def absent_inputs(self) -> Props:
        """Return no undeclared way. A read always has an answer, so this is never used."""
        return {"undeclared": {}}

    def login(self, props: Props) -> Login:
        """Return a login as the declared user. A login as another user, at first contact, proves nothing."""
        del props
        return Login(declared=True)

    def subject(self, change: Change) -> str:
        """Return the common name for the lines."""
        return "administrators"

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Return a line for each undeclared way to become root."""
        found = [
            Line(
                key.rpartition(": ")[2],
                f"may become root: {key.rpartition(': ')[0] or live}",
                "up removes this right",
                Severity.OPEN,
                at=("undeclared", key),
                topic=key,
            )
            if key.startswith(("group ", "uid "))
            else Line(key, f"may make root: {live}", "up removes it", Severity.OPEN, at=("undeclared", key))
            for key, live, _ in change.entries("undeclared")
        ]
        return with_rest(change, subject, found)


class Administrators(HostResource):
    """Who may become root on a host: only root and the users that are declared here. A host has one.

    A preview shows every other way to become root: a member of a group with root's rights (sudo, docker, …),
    a file in /etc/sudoers.d, a rule in /etc/sudoers, an account with root's number. `up` removes all of them,
    but never the rights of the user that deploys.
    """

    undeclared: pulumi.Output[Mapping[str, str]]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        users: Sequence[str] = (),
        files: Sequence[str] = (),
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare that nobody else may become root. Depend on the users, so that they exist first.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            users: names of the users who may become root: a `User` with sudo, or in such a group.
            files: paths below /etc/sudoers.d that other resources manage.
            adopt: let the first `up` remove undeclared ways to become root. They come back on delete.
            opts: resource options.
        """
        super().__init__(
            AdministratorsProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={
                "users": dict.fromkeys(sorted(users), DECLARED),
                "files": dict.fromkeys(sorted(files), DECLARED),
                "undeclared": {},
            },
            outputs=(),
            opts=opts,
        )
