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
        """Keep `users` and `files` as declared. The declared value of `undeclared` is empty."""
        inputs.inputs["users"] = inputs.news.get("users") or {}
        inputs.inputs["files"] = inputs.news.get("files") or {}
        # A refresh reads back the undeclared ways to become root.
        inputs.inputs["undeclared"] = {}

    def absent_inputs(self) -> Props:
        """Return an empty map of undeclared ways.

        The provider never calls this method, because a read always has an answer.
        """
        return {"undeclared": {}}

    def login(self, props: Props) -> Login:
        """Return a login as the declared user.

        At the first deploy, Portcullis logs in as the user of the setting `bootstrap`. That login does not
        show whether the declared user can log in.
        """
        del props
        return Login(declared=True)

    def subject(self, change: Change) -> str:
        """Return the subject of this resource's lines in a report."""
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
            else Line(
                key, f"gives root rights: {live}", "up removes it", Severity.OPEN, at=("undeclared", key)
            )
            for key, live, _ in change.entries("undeclared")
        ]
        return with_rest(change, subject, found)


class Administrators(HostResource):
    """The declaration that only root and the declared users may become root. A host has one such resource.

    A preview shows every other way to become root. Such a way is a member of a group with root's rights (such
    as sudo or docker), a sudo rule, or another account with root's number. `up` removes all these ways, but
    never the rights of the user that deploys.
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
        """Declare that only these users may become root.

        Add the `User` resources to `depends_on`, so that the users exist first.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            users: names of the users who may become root: each `User` with sudo, or in a group with root's
                rights.
            files: paths below /etc/sudoers.d that other resources manage.
            adopt: let the first `up` remove undeclared ways to become root. A delete restores these ways.
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
