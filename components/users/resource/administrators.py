"""Who may become root on a host without having been declared."""

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
        """Take over who is declared."""
        inputs.inputs["users"] = inputs.news.get("users") or {}
        inputs.inputs["files"] = inputs.news.get("files") or {}
        # Read back as whoever else may become root.
        inputs.inputs["undeclared"] = {}

    def absent_inputs(self) -> Props:
        """Return nobody: a host always has an answer."""
        return {"undeclared": {}}

    def login(self, props: Props) -> Login:
        """Return the declared login: a first contact as somebody else does not vouch for it."""
        del props
        return Login(declared=True)

    def subject(self, change: Change) -> str:
        """Return what all of them are."""
        return "administrators"

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Say who may become root besides, by the way that leads there."""
        found = [
            Line(
                key.rpartition(": ")[2],
                f"may become root: {key.rpartition(': ')[0] or live}",
                "up takes that away",
                Severity.OPEN,
                at=("undeclared", key),
                topic=key,
            )
            if key.startswith(("group ", "uid "))
            else Line(
                key, f"may make root: {live}", "up takes it away", Severity.OPEN, at=("undeclared", key)
            )
            for key, live, _ in change.entries("undeclared")
        ]
        return with_rest(change, subject, found)


class Administrators(HostResource):
    """Who may become root on a host: nobody but root and the users that are declared here. One a host.

    Whoever else may is a line in a preview: members of groups that are as good as root (sudo, docker, …),
    files in /etc/sudoers.d, rules in /etc/sudoers, accounts with root's number. They are taken away, never
    the user that deploys.
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
        """Declare that there are no others. Depend on the users, so that they are there first.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            users: names of those who may: declared as `User` with sudo, or in such a group.
            files: paths below /etc/sudoers.d that other resources manage.
            adopt: take away those who may become root at the first `up`; they come back on delete.
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
