"""What both halves of the host resources of MongoDB exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from portcullis.agent.wire import Desired, Facts, Spec

ANSWERS = "answers"
"""The server as it should be."""
WORKS = "works"
"""A login as it should be."""
REQUIRED = "required"
"""The server's authentication as it should be."""
GRANTED = "granted"
"""A role as it should be."""


@dataclass(frozen=True)
class MongoRootSpec(Spec):
    """Which store it is, and in which file its administrator's password stands; never the password.

    Attributes:
        store: name of the store: its container's, and the name in its certificate.
        address: `address:port` at which the host itself reaches it.
        root: the administrator's name.
        root_file: path of the file that holds the administrator's password.
        ca: path of the certificate to trust; without it the connection is in clear.
        volume: name of the Docker volume with the data.
        replica_set: name and only member, `rs0/mongo:27017`; None for none.
    """

    store: str
    address: str
    root: str
    root_file: str
    ca: Optional[str] = None
    volume: Optional[str] = None
    replica_set: Optional[str] = None


@dataclass(frozen=True)
class MongoRootDesired(Desired):
    """The administrator as it is declared.

    Attributes:
        store: name of the store: its container's, and the name in its certificate.
        address: `address:port` at which the host itself reaches it.
        root: the administrator's name.
        root_file: path of the file that holds the administrator's password.
        password: the administrator's.
        previous: the password to log in with where the declared one is refused.
        before: the password that the last run of ours set; "" before the first.
        ca: path of the certificate to trust; without it the connection is in clear.
        volume: name of the Docker volume with the data.
        replica_set: name and only member, `rs0/mongo:27017`; None for none.
    """

    store: str
    address: str
    root: str
    root_file: str
    password: str = field(repr=False)
    previous: Optional[str] = field(default=None, repr=False)
    before: Optional[str] = field(default=None, repr=False)
    ca: Optional[str] = None
    volume: Optional[str] = None
    replica_set: Optional[str] = None

    @property
    def id(self) -> str:
        """Name of the store."""
        return self.store

    def spec(self) -> MongoRootSpec:
        """Return which store it is."""
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
    """What the administrator sees of a server. None is what could not be told.

    Attributes:
        server: `ANSWERS`, or what it does instead.
        authentication: `REQUIRED`, or what the server asks for instead.
        login: `WORKS`, or why the administrator's login does not.
        users: who may log in and is not declared, by `user@database`, with their roles.
        replica_set: name and members, with what is not as it should be; "" without one.
    """

    server: str = ""
    authentication: Optional[str] = None
    login: Optional[str] = None
    users: Optional[Mapping[str, str]] = None
    replica_set: Optional[str] = None


@dataclass(frozen=True)
class MongoUserSpec(Spec):
    """Which user of which store it is, and in which file its password stands; never the password.

    Attributes:
        store: name of the store: its container's, and the name in its certificate.
        address: `address:port` at which the host itself reaches it.
        root: the administrator's name.
        root_file: path of the file that holds the administrator's password.
        user: its name.
        database: the database that it belongs to and logs in on.
        password_file: path of the file that holds its password.
        ca: path of the certificate to trust; without it the connection is in clear.
    """

    store: str
    address: str
    root: str
    root_file: str
    user: str
    database: str
    password_file: str
    ca: Optional[str] = None


@dataclass(frozen=True)
class MongoUserDesired(Desired):
    """A user as it is declared.

    Attributes:
        store: name of the store: its container's, and the name in its certificate.
        address: `address:port` at which the host itself reaches it.
        root: the administrator's name.
        root_file: path of the file that holds the administrator's password.
        user: its name.
        database: the database that it belongs to and logs in on.
        password: its password.
        password_file: path of the file that holds its password.
        roles: `GRANTED` by `role@database`.
        ca: path of the certificate to trust; without it the connection is in clear.
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
    ca: Optional[str] = None

    @property
    def id(self) -> str:
        """Store, database and name."""
        return f"{self.store}/{self.database}/{self.user}"

    def spec(self) -> MongoUserSpec:
        """Return which user it is."""
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
    """A user as it is. None is what could not be told.

    Attributes:
        server: `ANSWERS`, or what it does instead.
        login: `WORKS`, or why its login does not.
        roles: `GRANTED` by `role@database`.
    """

    server: str = ""
    login: Optional[str] = None
    roles: Optional[Mapping[str, str]] = None
