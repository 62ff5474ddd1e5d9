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
        """Take the inputs over; what is read back has one value that is right."""
        for name in ("store", "address", "root", "password"):
            inputs.text(name)
        inputs.path("root_file")
        inputs.keep("previous", "volume", "replica_set")
        if inputs.news.get("ca") is not None:
            inputs.path("ca")
        inputs.inputs |= {"server": ANSWERS, "authentication": REQUIRED, "login": WORKS, "users": {}}

    def absent_inputs(self) -> Props:
        """Return nothing: a server that is not there is one that does not answer."""
        return {}

    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Change it, with the password of the last run that worked: one between may have failed."""
        result = super().update(id_, olds, {**news, _BEFORE: olds.get("password") or ""})
        outs = {key: value for key, value in result.outs.items() if key != _BEFORE}
        return UpdateResult(outs)

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Say who may log in and is not declared, and what else the server says."""
        strangers = [
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
        return with_rest(change, subject, strangers)


class MongoRoot(HostResource):
    """The administrator of a MongoDB store: its password works, and the one before does not any more.

    What only an administrator sees is read back too: that the server asks for a password, who may log in and
    is not declared, and the replica set. A user that is not declared is a line in a preview, by name and
    roles, and is dropped. A first start that was cut off is said and never repaired by deleting anything.

    Delete leaves the password in a file in the data volume, for root alone: the data stay, and the stack's
    state, which has it, goes. The next stack on that volume finds it there.
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
            store: name of the store, which is its container's and the name in its certificate.
            address: `address:port` at which the host itself reaches it.
            password: the administrator's.
            root_file: path of the file on the host that holds it, for reading back; written before this.
            previous: the password to log in with where the declared one is refused, and to be refused then.
            root: the administrator's name.
            ca: path of the certificate to trust; without it the connection is in clear.
            volume: name of the Docker volume with the data.
            replica_set: name and only member, `rs0/mongo:27017`; None for none.
            adopt: drop users that are there and not declared already the first time.
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
