"""Read and set the users of a running Redis. The agent logs in with the credential in a file on the host."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from portcullis.agent import disk
from portcullis.components.redis.on_host import redis_acl, resp
from portcullis.components.redis.on_host.resp import NotRunning, Redis, Refused, Untrusted
from portcullis.components.stores.on_host import container_peer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portcullis.agent.machine import Machine
    from portcullis.components.redis.facts import RedisUserSpec

Login = tuple[str, str]
"""A user and a password."""
# One transaction creates and deletes this user, so no other client ever sees it.
_PROBE = "portcullis-probe"
_CREDENTIAL_LIMIT = 4096


class Access(NamedTuple):
    """How to reach a server.

    `address` is the address that the server's container publishes. `ops` is the file with the credential.
    `ca` is the file of the certificate authority, or "" without TLS.
    """

    address: str
    container: str
    ops: str
    ca: str

    def connect(self, machine: Machine) -> Redis:
        """Connect to the container.

        Raises the errors of `Redis`, and `AgentError` if another program listens.
        """
        peer = container_peer.find(machine, self.container, self.address)
        if peer is None:
            raise NotRunning("the container of the Redis server does not run")
        # The certificate names the published address. The container's own address changes at each start.
        name = self.address.rpartition(":")[0].strip("[]")
        return Redis(peer.address, self.ca, server_name=name, source=peer.source)


def access(spec: RedisUserSpec) -> Access:
    """Return the `Access` to the server that a spec names."""
    return Access(spec.address, spec.container, spec.ops, spec.ca or "")


@dataclass(frozen=True)
class State:
    """The users of a server as in ``ACL LIST``, and rules as this version of Redis spells them.

    `users` is None if no server runs. `trouble` says why the agent could not read the users, or is "".
    `untrusted` names the fault of the server's certificate, or is "".
    """

    users: dict[str, list[str]] | None
    trouble: str
    rules: dict[str, list[str] | None]
    untrusted: str = ""


def credential(path: str) -> Login | None:
    """Read "USER PASSWORD" from a file. Return None if the file does not exist."""
    with disk.reading(Path(path)) as place:
        if place.look() is None:
            return None
        fd = place.open()
        try:
            words = os.pread(fd, _CREDENTIAL_LIMIT, 0).decode("utf-8", "replace").split()
        finally:
            os.close(fd)
    return (words[0], words[1]) if len(words) == 2 else None  # noqa: PLR2004 - a user and a password


def enter(machine: Machine, server: Access, others: Iterable[Login]) -> Server:
    """Log in with the credential in the file `server.ops`, or else with one of `others`.

    Raises:
        NotRunning: no server runs.
        Refused: the server refuses every login; the text is for people.
        AgentError: another program listens in place of the server.
    """
    server.connect(machine).close()  # check first that a server runs: a new one has no credential file
    lying = credential(server.ops)
    tries = [login for login in (lying, *others) if login]
    said = f"has no credential: {server.ops} holds no user and password"
    for user, password in dict.fromkeys(tries):
        try:
            return Server(server.connect(machine).log_in(user, password))
        except Refused as refused:
            said = f"refuses the login of {user}: {refused}"
    raise Refused(said)


def read(machine: Machine, server: Access, others: Iterable[Login], rules: Iterable[str]) -> State:
    """Read the users of the server.

    Raises `AgentError` if another program listens at the server's address.
    """
    try:
        with contextlib.closing(enter(machine, server, others)) as entered:
            users = entered.users()
            return State(users, "", {text: entered.spelt(text) for text in sorted(set(rules))})
    except Untrusted as error:
        return State(None, "", {}, str(error))
    except NotRunning:
        return State(None, "", {})
    except Refused as refused:
        return State({}, str(refused), {})


class Server:
    """A server after the login. Every method may raise `Refused` and `NotRunning`."""

    def __init__(self, connection: Redis) -> None:
        """Use an open connection, which `close` ends."""
        self._connection = connection

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def users(self) -> dict[str, list[str]]:
        """Return every user with its words."""
        return _users(self._connection.call("ACL", "LIST"))

    def spelt(self, rules: str) -> list[str] | None:
        """Return rules in this server's own spelling; None if the server refuses them.

        Redis 7.0 replaces ``-@dangerous`` by each command that it removes. Redis 7.2 keeps it.
        """
        self._connection.call("MULTI")
        self._connection.call("ACL", "SETUSER", _PROBE, "reset", *rules.split())
        self._connection.call("ACL", "LIST")
        self._connection.call("ACL", "DELUSER", _PROBE)
        done = self._connection.call("EXEC")
        listed = done[1] if isinstance(done, list) and len(done) > 1 else None
        words = _users(listed).get(_PROBE)
        return None if words is None else redis_acl.rules_of(words)

    def set(self, line: str) -> None:
        """Set a user's password and rules from a line: all of them, or none. All open sessions continue.

        We do not use ``ACL LOAD``: up to Redis 7.2, this command ends every session of every user.
        """
        self._connection.call("ACL", "SETUSER", *line.split()[1:])

    def drop(self, users: Iterable[str]) -> None:
        """Delete users. Redis ends the sessions of deleted users, even the session of this connection."""
        for user in users:
            try:
                self._connection.call("ACL", "DELUSER", user)
            except NotRunning:
                return  # Redis deleted the user of this connection

    def end_sessions(self, user: str) -> None:
        """End all sessions of a user, except this connection."""
        self._connection.call("CLIENT", "KILL", "USER", user)


def _users(listed: resp.Reply) -> dict[str, list[str]]:
    words = [line.split() for line in resp.texts(listed)]
    return {line[1]: line[2:] for line in words if len(line) > 1 and line[0] == "user"}
