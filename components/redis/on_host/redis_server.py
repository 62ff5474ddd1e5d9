"""The users of a running Redis: logging in with the credential that lies on the host, reading, setting."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Tuple

from portcullis.agent import disk
from portcullis.components.redis.on_host import redis_acl, resp
from portcullis.components.redis.on_host.resp import NotRunning, Redis, Refused, Untrusted
from portcullis.components.stores.on_host import container_peer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portcullis.agent.machine import Machine
    from portcullis.components.redis.facts import RedisUserSpec

Login = Tuple[str, str]
"""A user and a password."""
# Set up and taken away again within one transaction: nobody else ever sees it.
_PROBE = "portcullis-probe"
_CREDENTIAL_LIMIT = 4096


class Access(NamedTuple):
    """How to reach a server: `ops` is the file with the credential, `ca` the one of its authority or "".

    `address` is the one that its container publishes.
    """

    address: str
    container: str
    ops: str
    ca: str

    def connect(self, machine: Machine) -> Redis:
        """Connect to the container. Raises as `Redis` does, and `AgentError` where it is somebody else."""
        peer = container_peer.find(machine, self.container, self.address)
        if peer is None:
            raise NotRunning("its container does not run")
        # Its certificate names the address that it publishes: its own is another one at each start.
        name = self.address.rpartition(":")[0].strip("[]")
        return Redis(peer.address, self.ca, server_name=name, source=peer.source)


def access(spec: RedisUserSpec) -> Access:
    """The server of a spec."""
    return Access(spec.address, spec.container, spec.ops, spec.ca or "")


@dataclass(frozen=True)
class State:
    """What a server has: its users as ``ACL LIST`` says them, and rules as this version spells them.

    `users` is None where nobody listens; `trouble` tells why it could not be asked, or is "". `untrusted` is
    what is wrong with its certificate, or "".
    """

    users: dict[str, list[str]] | None
    trouble: str
    rules: dict[str, list[str] | None]
    untrusted: str = ""


def credential(path: str) -> Login | None:
    """The user and password in a file, apart by a space; None where there is none yet."""
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
    """Log in with the credential on the host, or else with one of the others.

    Raises:
        NotRunning: nobody listens.
        Refused: for people; none of them lets us in.
        AgentError: what listens is not the server that is meant.
    """
    server.connect(machine).close()  # whether anybody listens comes first: a new one has no file
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
    """What is there now. Raises `AgentError` where something else listens."""
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
    """A server that let us in; every method may raise `Refused` and `NotRunning`."""

    def __init__(self, connection: Redis) -> None:
        """Take a connection over; `close` ends it."""
        self._connection = connection

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def users(self) -> dict[str, list[str]]:
        """Every user with its words."""
        return _users(self._connection.call("ACL", "LIST"))

    def spelt(self, rules: str) -> list[str] | None:
        """Rules in this server's own spelling, which differs between versions; None for none it knows.

        Redis 7.0 writes ``-@dangerous`` as each command that it takes away, 7.2 as it was said.
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
        """Give a user the line's password and rules, all or nothing; other sessions go on.

        Not by ``ACL LOAD``: up to 7.2 it ends every session of every user.
        """
        self._connection.call("ACL", "SETUSER", *line.split()[1:])

    def drop(self, users: Iterable[str]) -> None:
        """Take users away; Redis ends their sessions with them. Our own user's may be among them."""
        for user in users:
            try:
                self._connection.call("ACL", "DELUSER", user)
            except NotRunning:
                return  # that was the one we are

    def end_sessions(self, user: str) -> None:
        """End what a user has open, without this connection."""
        self._connection.call("CLIENT", "KILL", "USER", user)


def _users(listed: resp.Reply) -> dict[str, list[str]]:
    words = [line.split() for line in resp.texts(listed)]
    return {line[1]: line[2:] for line in words if len(line) > 1 and line[0] == "user"}
