"""The administrator of a MongoDB store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.components.mongodb.facts import (
    ANSWERS,
    REQUIRED,
    WORKS,
    MongoRootDesired,
    MongoRootFacts,
)
from portcullis.host.provider import HostProvider, Normaliser
from portcullis.host.resource import HostResource
from portcullis.provider.base import UpdateResult
from portcullis.provider.changes import Line, Section, Severity, with_rest

if TYPE_CHECKING:
    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

_BEFORE = "before"


class MongoRootProvider(HostProvider):
    """Provider of `MongoRoot`."""

    kind = "mongodb.mongo_roots"
    section = Section.DATA
    desired_type = MongoRootDesired
    facts_type = MongoRootFacts
    live = ("server", "authentication", "login", "users", "replica_set")
    identity = ("host", "store")
    secrets = ("password", "previous")

    def normalise(self, inputs: Normaliser) -> None:
        """Check the inputs. A property that is read back has one correct value."""
        for name in ("store", "address", "root", "password"):
            inputs.text(name)
        inputs.path("root_file")
        inputs.keep("previous", "volume", "replica_set")
        if inputs.news.get("ca") is not None:
            inputs.path("ca")
        inputs.inputs |= {"server": ANSWERS, "authentication": REQUIRED, "login": WORKS, "users": {}}

    def absent_inputs(self) -> Props:
        """Return nothing: a missing server shows as a server that does not answer."""
        return {}

    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Change the password. The agent logs in with the password that the last successful run set."""
        result = super().update(id_, olds, {**news, _BEFORE: olds.get("password") or ""})
        outs = {key: value for key, value in result.outs.items() if key != _BEFORE}
        return UpdateResult(outs)

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Report each undeclared user that may log in, and every other difference."""
        undeclared = [
            Line(
                "mongo",
                f"user {name} may log in ({live})",
                "up removes it",
                Severity.OPEN if change.by_hand(("users", name)) else Severity.COSMETIC,
                at=("users", name),
            )
            for name, live, goal in change.entries("users")
            if goal is None
        ]
        return with_rest(change, subject, undeclared)


class MongoRoot(HostResource):
    """The administrator of a MongoDB store: the declared password works, and the previous password fails.

    A refresh also reads facts that only an administrator sees: whether the server requires a login,
    undeclared users, and the replica set. A preview shows an undeclared user with its name and roles, and
    `up` drops the user. If the server's first start was interrupted, an error says so. Portcullis deletes no
    data to repair that.

    A delete leaves the password in a file in the data volume, for root only. The data stay, but the stack's
    state with the password is gone. The next stack on that volume finds the file.
    """

    store: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        store: str,
        address: str,
        password: pulumi.Input[str],
        root_file: str,
        previous: pulumi.Input[str] | None = None,
        root: str = "root",
        ca: str | None = None,
        volume: str | None = None,
        replica_set: str | None = None,
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the administrator.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            store: name of the store, of its container, and in its certificate.
            address: `address:port` where the host reaches the server.
            password: the administrator's password.
            root_file: path of the file on the host with this password. It must be written before this
                resource, which logs in with it to read the server.
            previous: the password to log in with if the server refuses the declared one. It must fail later.
            root: the administrator's name.
            ca: path of the certificate to trust. Without it the connection is not encrypted.
            volume: name of the Docker volume with the data.
            replica_set: name and only member, `rs0/mongo:27017`; None without a replica set.
            adopt: drop existing undeclared users at the first `up`.
            opts: resource options.
        """
        inputs: Props = {
            "store": store,
            "address": address,
            "password": password,
            "previous": previous,
            "root_file": root_file,
            "root": root,
            "ca": ca,
            "volume": volume,
            "replica_set": replica_set,
            "server": ANSWERS,
            "authentication": REQUIRED,
            "login": WORKS,
            "users": {},
        }
        super().__init__(
            MongoRootProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={key: value for key, value in inputs.items() if value is not None},
            outputs=(),
            opts=opts,
        )
