"""The data about a store that the providers and the host exchange. It is for all kinds of stores.

A store here is a container with a database server whose administrator logs in inside the container only, as
the container's user. The agent acts as this administrator through `docker exec`, without a password. Redis
and MongoDB are older and have resources of their own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from portcullis.agent.declared import (
    TEXT,
    Asked,
    Declaration,
    DeclaredDesired,
    DeclaredSpec,
    Prop,
    ReadBack,
    own,
    prop,
)
from portcullis.agent.wire import Facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pulumi import Input

ANSWERS = "answers"
"""The value of `server` if the server answers the administrator."""
REQUIRED = "required"
"""The value of `login` if nobody comes in over the network without a login."""
DECLARED = "as declared"
"""The value of a database or a user without any difference."""
LOADED = "loaded"
"""The value of `rules` if the server has read its files since their last change."""


class StoreServerProps(Declaration, adopt="whether to remove users of an existing server."):
    """The properties of a store's server."""

    store: Asked[str] = prop(form=TEXT, identity=True)
    """name of the store and its container."""
    dialect: Asked[Literal["postgres"]] = prop()
    """the kind of server."""
    databases: Asked[Sequence[str], dict[str, str]] = prop()
    """names of the databases. Each belongs to a role of the same name, which its users are members of. A
    database that is no longer declared stays, with all its data."""
    config: Prop[Input[str], str] = prop()
    """the revision of the files that tell the server who may log in. It reads them again if they change."""
    server: ReadBack[str] = own(want=ANSWERS)
    """whether the server answers the administrator, or what it does instead."""
    login: ReadBack[str] = own(want=REQUIRED)
    """whether the server refuses a client that has no login."""
    rules: ReadBack[str] = own(want=LOADED)
    """whether the server has read the files of `config` since their last change."""
    undeclared: ReadBack[dict[str, str]] = own(want={})
    """the undeclared users, by name, with what each may do."""


class StoreServerSpec(StoreServerProps, DeclaredSpec):
    """The server to read, with its databases."""


class StoreServerDesired(StoreServerProps, DeclaredDesired):
    """A server as it is declared in the Pulumi program."""

    spec_type = StoreServerSpec


@dataclass(frozen=True)
class StoreServerFacts(Facts):
    """A server as it is. `StoreServerProps` describes the fields. None means unknown."""

    server: str = ""
    login: str | None = None
    rules: str | None = None
    databases: Mapping[str, str] | None = None
    undeclared: Mapping[str, str] | None = None


class StoreUserProps(Declaration, adopt="whether to take over a user of this name that differs."):
    """The properties of a user."""

    store: Asked[str] = prop(form=TEXT, identity=True)
    """name of the store and its container."""
    dialect: Asked[Literal["postgres"]] = prop()
    """the kind of server."""
    user: Asked[Input[str], str] = prop(form=TEXT, identity=True)
    """the user's name."""
    database: Asked[str] = prop(form=TEXT)
    """the only database that the user reaches. The user owns everything in it."""
    password: Prop[Input[str], str] = prop(form=TEXT, secret=True)
    """the user's password. The server gets a hash of it and never the password."""
    server: ReadBack[str] = own(want=ANSWERS)
    """whether the server answers the administrator, or what it does instead."""
    account: ReadBack[str] = own(want=DECLARED)
    """how the user on the server differs in password, rights or memberships."""


class StoreUserSpec(StoreUserProps, DeclaredSpec):
    """The user to read, with the hash by which its password is known.

    Attributes:
        hash: the hash that the server keeps of the declared password.
    """

    hash: str = field(default="", repr=False)


class StoreUserDesired(StoreUserProps, DeclaredDesired):
    """A user as it is declared in the Pulumi program."""

    spec_type = StoreUserSpec

    @property
    def id(self) -> str:
        """The names of the store and of the user, with a slash between them."""
        return f"{self.store}/{self.user}"

    @property
    def hash(self) -> str:
        """The hash that the server keeps of the password. The host's record has it, and not the password."""
        return scram_hash(self.user, self.password)


@dataclass(frozen=True)
class StoreUserFacts(Facts):
    """A user as it is on the server. `StoreUserProps` describes the fields. None means unknown."""

    server: str = ""
    account: str | None = None


def sha256(data: bytes) -> bytes:
    """Return the SHA-256 hash of some bytes."""
    return hashlib.sha256(data).digest()


def scram_hash(user: str, password: str) -> str:
    """Return what PostgreSQL keeps of a password: a verifier of SCRAM-SHA-256 (RFC 5803).

    The salt depends on the user's name only, so the same password always gives the same text, and a
    difference shows. A generated password needs no random salt: it is in no list, and no other user has it.
    """
    salt, rounds = sha256(f"portcullis {user}".encode())[:16], 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client, server = (hmac.digest(salted, key, "sha256") for key in (b"Client Key", b"Server Key"))
    first, stored, last = (base64.b64encode(part).decode() for part in (salt, sha256(client), server))
    return f"SCRAM-SHA-256${rounds}:{first}${stored}:{last}"
