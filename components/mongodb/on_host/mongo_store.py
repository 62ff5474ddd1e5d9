"""Access to a MongoDB store of this host, with the rights of the store's administrator.

`MongoRoots` and `MongoUsers` share this module.

The agent reads the administrator's password from the store's own secret file, whose path is in the spec. No
fact, record, command line or message contains the password.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from typing import TYPE_CHECKING

from portcullis.agent import safe_paths
from portcullis.agent.errors import AgentError
from portcullis.agent.step import Step
from portcullis.components.mongodb.facts import GRANTED, WORKS
from portcullis.components.mongodb.on_host.mongo_client import (
    NOT_INITIATED,
    USER_NOT_FOUND,
    Client,
    LoginRefused,
    Refused,
    Unanswered,
)
from portcullis.components.stores.on_host import container_peer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from portcullis.agent.machine import Machine
    from portcullis.agent.step import Json
    from portcullis.components.mongodb.facts import (
        MongoRootFacts,
        MongoRootSpec,
        MongoUserFacts,
        MongoUserSpec,
    )

WAIT = 60.0  # seconds to wait for a server that was just started
_PAUSE = 0.5
_LONGEST = 1024  # bytes of a secret file

REFUSED, NO_USER = "refused", "the server has no such user"
ADMIN = "admin"


class MongoStore:
    """The server that a spec names."""

    def __init__(self, machine: Machine, spec: MongoRootSpec | MongoUserSpec) -> None:
        """Keep the names and paths. Nothing is connected yet."""
        self._machine = machine
        self.name = spec.store
        self.address = spec.address
        self.root = spec.root
        self._root_file = spec.root_file
        self._ca = spec.ca or ""

    def connect(self) -> Client:
        """Return a connection without a login. `with` opens it.

        Raises:
            Unanswered: the container does not run.
            AgentError: ``impostor``: another program listens in its place.
        """
        peer = container_peer.find(self._machine, self.name, self.address)
        if peer is None:
            raise Unanswered("the store's container does not run")
        return Client(peer.address, self._ca, self.name, peer.source)

    @contextlib.contextmanager
    def as_root(self, password: str | None = None) -> Iterator[Client]:
        """Open a connection of the administrator. Raises `LoginRefused` and `Unanswered`."""
        with self.connect() as client:
            client.log_in(self.root, secret(self._root_file) if password is None else password, ADMIN)
            yield client

    def login(self, user: str, password: str, database: str) -> str:
        """Return whether a login works: `WORKS`, `REFUSED` or `NO_USER`. Raises `Unanswered`."""
        try:
            with self.connect() as client:
                client.log_in(user, password, database)
        except LoginRefused as error:
            return NO_USER if error.unknown_user else REFUSED
        return WORKS

    def root_login(self) -> str:
        """Return whether the administrator can log in with the password in the secret file."""
        return self.login(self.root, secret(self._root_file), ADMIN)

    def wait(self) -> None:
        """Wait for a server that was just started. Raises `AgentError`."""
        deadline = time.monotonic() + WAIT
        while True:
            try:
                with self.connect() as client:
                    client.command({"hello": 1, "$db": ADMIN})
            except Unanswered as error:
                if time.monotonic() > deadline:
                    raise self.unanswered(error) from None
            except Refused:
                return
            else:
                return
            time.sleep(_PAUSE)

    def asks_for_a_password(self) -> bool:
        """Return whether the server refuses clients without a login. Raises `Unanswered`."""
        with self.connect() as client:
            try:
                client.command({"listDatabases": 1, "nameOnly": True, "$db": ADMIN})
            except Refused:
                return True
        return False

    def unanswered(self, error: Unanswered, more: str = "") -> AgentError:
        """Return the error about a server that does not answer. `more` is the end of the error's hint."""
        return AgentError(
            "unreadable",
            f"the MongoDB server at {self.address} does not answer: {error}",
            prop="server",
            hint=f"`docker logs --tail 50 {self.name}` shows why; `docker start {self.name}` starts it{more}",
        )

    def root_refused(self) -> AgentError:
        """Return the error for a server that refuses the administrator's login.

        `MongoRoot` reports such a refusal with another error.
        """
        return AgentError(
            "unreadable",
            f"the MongoDB server at {self.address} refuses the login of {self.root}",
            prop="server",
            hint=f"see the error of the MongoRoot of {self.name}, which repairs the login if it can",
        )


def repair_steps(want: Mapping[str, str], facts: MongoRootFacts | MongoUserFacts) -> list[Step]:
    """Return a step for each property that is not as wanted. An unknown property needs none."""
    have = {name: getattr(facts, name) for name in want}
    return [
        Step(name, str(have[name]), want[name], "mend")
        for name in want
        if have[name] not in (None, want[name])
    ]


def secret(path: str) -> str:
    """Return the secret in a file, or "" if there is no file. Raises `AgentError`."""
    try:
        fd = os.open(path, safe_paths.FILE)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ValueError(path)
            return os.read(fd, _LONGEST).decode().rstrip("\n")
        finally:
            os.close(fd)
    except FileNotFoundError:
        return ""  # the login then fails, and the file's own resource reports the missing file
    except (OSError, ValueError) as error:
        why = os.strerror(getattr(error, "errno", 0) or 22)
        raise AgentError("unreadable", f"the agent cannot read the secret file {path}: {why}") from None


def users(client: Client) -> list[Json]:
    """Return every user of the server, each with `user`, `db` and `roles`."""
    found = client.command({"usersInfo": {"forAllDBs": True}, "$db": ADMIN}).get("users", [])
    return [user for user in found if isinstance(user, dict)]


def roles_of(user: Json) -> dict[str, str]:
    """Return a user's roles as a map, with keys such as ``readWrite@shop``."""
    return {f"{role.get('role')}@{role.get('db')}": GRANTED for role in user.get("roles", [])}


def as_roles(declared: Iterable[str]) -> list[Json]:
    """Return roles such as ``readWrite@shop`` in the form that a command needs."""
    return [dict(zip(("role", "db"), name.rsplit("@", 1), strict=False)) for name in sorted(declared)]


def drop_user(client: Client, user: str, database: str) -> bool:
    """Drop a user and end its running operations. Return whether the user existed.

    When a user is dropped, the user's open connections lose all rights. A change of the password takes no
    rights from open connections:
    https://github.com/mongodb/mongo/blob/r8.0.0/src/mongo/db/auth/authorization_session_impl.cpp
    """
    try:
        client.command({"dropUser": user, "$db": database})
    except Refused as error:
        if error.code != USER_NOT_FOUND:
            raise
        return False
    end_sessions(client, user, database)
    return True


def end_sessions(client: Client, user: str, database: str) -> None:
    """End the sessions of a user with their cursors and transactions, and its operations outside of sessions.

    A server that does not know `killAllSessions`, such as FerretDB, has no sessions of users either.
    """
    try:
        client.command({"killAllSessions": [{"user": user, "db": database}], "$db": ADMIN})
        whose = {"effectiveUsers": {"$elemMatch": {"user": user, "db": database}}}
        running = client.command({"currentOp": 1, "$all": True, **whose, "$db": ADMIN}).get("inprog", [])
        own = client.command({"whatsmyuri": 1, "$db": ADMIN}).get("you")
        for operation in running:
            if "opid" in operation and operation.get("client") != own:
                with contextlib.suppress(Refused):  # the operation has ended by itself
                    client.command({"killOp": 1, "op": operation["opid"], "$db": ADMIN})
    except Refused as error:
        if not error.unknown:
            raise


def replica_set(client: Client) -> str:
    """Return the replica set as ``rs0/mongo:27017``, and its fault; "" without a replica set."""
    hello = client.command({"hello": 1, "$db": ADMIN})
    if hello.get("setName"):
        primary = "" if hello.get("isWritablePrimary") else ", without a primary"
        return f"{hello['setName']}/{','.join(map(str, hello.get('hosts', [])))}{primary}"
    try:
        client.command({"replSetGetStatus": 1, "$db": ADMIN})
    except Refused as error:
        return "not initiated" if error.code == NOT_INITIATED else ""
    return "without a primary"  # the server is starting, or does not find its own name among the members
