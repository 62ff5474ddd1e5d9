"""A user of a MongoDB store."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from portcullis.components.mongodb.facts import (
    ANSWERS,
    GRANTED,
    WORKS,
    MongoUserDesired,
    MongoUserFacts,
)
from portcullis.components.stores.resource.by_generation import ByGeneration
from portcullis.host.provider import ABSENT, Normaliser
from portcullis.host.resource import HostResource
from portcullis.provider.changes import Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props


class MongoUserProvider(ByGeneration):
    """Provider of `MongoUser`."""

    kind = "mongodb.mongo_users"
    section = Section.DATA
    desired_type = MongoUserDesired
    facts_type = MongoUserFacts
    live = ("server", "login", "roles")
    identity = ("host", "store", "database", "user")
    sets = MappingProxyType({"roles": GRANTED})
    secrets = ("password",)

    def normalise(self, inputs: Normaliser) -> None:
        """Check the inputs. A property that is read back has one correct value."""
        for name in ("store", "address", "root", "user", "database", "password"):
            inputs.text(name)
        inputs.path("root_file")
        inputs.path("password_file")
        if inputs.news.get("ca") is not None:
            inputs.path("ca")
        inputs.inputs |= {"roles": inputs.news.get("roles"), "server": ANSWERS, "login": WORKS}

    def absent_inputs(self) -> Props:
        """Return the inputs of a user that does not exist."""
        return {"login": ABSENT, "roles": {}}


class MongoUser(HostResource):
    """A user of one database, with only the roles that it needs.

    A refresh reads its roles and checks its password. The name is part of the user's identity. The name
    should contain the generation of a `GeneratedSecret`. A rotation then creates the next user, lets the apps
    change to it, and drops the old user with its sessions at the end of the same `up`. Until then both users
    can log in.
    """

    user: pulumi.Output[str]
    database: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        store: str,
        address: str,
        root_file: str,
        database: str,
        user: pulumi.Input[str],
        password: pulumi.Input[str],
        password_file: str,
        roles: Sequence[str] | None = None,
        root: str = "root",
        ca: str | None = None,
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the user.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            store: name of the store.
            address: `address:port` where the host reaches the server.
            root_file: path of the file on the host with the administrator's password.
            database: the database that the user belongs to and logs in to.
            user: the user's name.
            password: the user's password.
            password_file: path of the file on the host with this password. It must be written before this
                resource, which checks the login with it.
            roles: the roles that the user needs, `role@database`. The default is readWrite on its database.
            root: the administrator's name.
            ca: path of the certificate to trust. Without it the connection is not encrypted.
            adopt: take over an existing user of that name that differs.
            opts: resource options.
        """
        inputs = {
            "store": store,
            "address": address,
            "root": root,
            "root_file": root_file,
            "ca": ca,
            "database": database,
            "user": user,
            "password": password,
            "password_file": password_file,
            "roles": dict.fromkeys(sorted(roles or [f"readWrite@{database}"]), GRANTED),
            "server": ANSWERS,
            "login": WORKS,
        }
        super().__init__(
            MongoUserProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={key: value for key, value in inputs.items() if value is not None},
            outputs=(),
            opts=opts,
        )
