"""The data about MongoDB that the providers and the host exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

ANSWERS = "answers"
"""The value of a server that answers as it should."""
WORKS = "works"
"""The value of a login that works as it should."""
REQUIRED = "required"
"""The value of a server that requires a login, as it should."""
GRANTED = "granted"
"""The value of a role that the user has."""


@dataclass(frozen=True)
class MongoRootSpec(Spec):
    """The store to read, and the file with its administrator's password. The password itself is not here.

    Attributes:
        store: name of the store, of its container, and in its certificate.
        address: `address:port` where the host reaches the server.
        root: the administrator's name.
        root_file: path of the file with the administrator's password.
        ca: path of the certificate to trust. Without it the connection is not encrypted.
        volume: name of the Docker volume with the data.
        replica_set: name and only member, `rs0/mongo:27017`; None without a replica set.
    """

    store: str
    address: str
    root: str
    root_file: str
    ca: str | None = None
    volume: str | None = None
    replica_set: str | None = None


@dataclass(frozen=True)
class MongoRootDesired(Desired):
    """The administrator as declared.

    Attributes:
        store: name of the store, of its container, and in its certificate.
        address: `address:port` where the host reaches the server.
        root: the administrator's name.
        root_file: path of the file with the administrator's password.
        password: the administrator's password.
        previous: the password to try if the server refuses the declared one.
        before: the password that our last run set; "" before the first run.
        ca: path of the certificate to trust. Without it the connection is not encrypted.
        volume: name of the Docker volume with the data.
        replica_set: name and only member, `rs0/mongo:27017`; None without a replica set.
    """

    store: str
    address: str
    root: str
    root_file: str
    password: str = field(repr=False)
    previous: str | None = field(default=None, repr=False)
    before: str | None = field(default=None, repr=False)
    ca: str | None = None
    volume: str | None = None
    replica_set: str | None = None

    @property
    def id(self) -> str:
        """Name of the store."""
        return self.store

    def spec(self) -> MongoRootSpec:
        """Return the store to read."""
        return MongoRootSpec(
            store=self.store,
            address=self.address,
            root=self.root,
            root_file=self.root_file,
            ca=self.ca,
            volume=self.volume,
            replica_set=self.replica_set,
        )


@dataclass(frozen=True)
class MongoRootFacts(Facts):
    """What the administrator sees of a server. None means unknown.

    Attributes:
        server: `ANSWERS`, or what it does instead.
        authentication: `REQUIRED`, or what the server does instead.
        login: `WORKS`, or why the administrator's login fails.
        users: undeclared users that may log in, by `user@database`, with their roles.
        replica_set: name and members, with what is wrong; "" without a replica set.
    """

    server: str = ""
    authentication: str | None = None
    login: str | None = None
    users: Mapping[str, str] | None = None
    replica_set: str | None = None


@dataclass(frozen=True)
class MongoUserSpec(Spec):
    """The user to read, its store, and the file with its password. The password itself is not here.

    Attributes:
        store: name of the store, of its container, and in its certificate.
        address: `address:port` where the host reaches the server.
        root: the administrator's name.
        root_file: path of the file with the administrator's password.
        user: the user's name.
        database: the database that the user belongs to and logs in to.
        password_file: path of the file with the user's password.
        ca: path of the certificate to trust. Without it the connection is not encrypted.
    """

    store: str
    address: str
    root: str
    root_file: str
    user: str
    database: str
    password_file: str
    ca: str | None = None


@dataclass(frozen=True)
class MongoUserDesired(Desired):
    """A user as declared.

    Attributes:
        store: name of the store, of its container, and in its certificate.
        address: `address:port` where the host reaches the server.
        root: the administrator's name.
        root_file: path of the file with the administrator's password.
        user: the user's name.
        database: the database that the user belongs to and logs in to.
        password: the user's password.
        password_file: path of the file with the user's password.
        roles: `GRANTED` by `role@database`.
        ca: path of the certificate to trust. Without it the connection is not encrypted.
    """

    store: str
    address: str
    root: str
    root_file: str
    user: str
    database: str
    password: str = field(repr=False)
    password_file: str
    roles: Mapping[str, str]
    ca: str | None = None

    @property
    def id(self) -> str:
        """The names of the store, of the database and of the user, with slashes between them."""
        return f"{self.store}/{self.database}/{self.user}"

    def spec(self) -> MongoUserSpec:
        """Return the user to read."""
        return MongoUserSpec(
            store=self.store,
            address=self.address,
            root=self.root,
            root_file=self.root_file,
            user=self.user,
            database=self.database,
            password_file=self.password_file,
            ca=self.ca,
        )


@dataclass(frozen=True)
class MongoUserFacts(Facts):
    """A user on the server. An unknown attribute is None.

    Attributes:
        server: `ANSWERS`, or a text that says what the server does instead.
        login: `WORKS`, or why the user's login fails.
        roles: the user's roles: a map of `role@database` to `GRANTED`.
    """

    server: str = ""
    login: str | None = None
    roles: Mapping[str, str] | None = None
