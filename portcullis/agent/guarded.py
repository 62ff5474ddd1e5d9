"""The additional methods of a kind whose changes can cut off the person who deploys.

The agent arms an undo before such a change. The undo stays armed until somebody has logged in again from
outside (see `guard`). The kind only tells how to undo the change, and which lock-outs it can foresee.
"""

from __future__ import annotations

import ipaddress
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from portcullis.agent.kind import D, F
from portcullis.agent.wire import Desired

if TYPE_CHECKING:
    from portcullis.agent.errors import AgentError
    from portcullis.agent.step import Step
    from portcullis.agent.store import Record

Argv = tuple[str, ...]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class GuardedDesired(Desired):
    """The declared state of a kind whose changes could make the host refuse the user that deploys.

    A kind needs this class only if its code reads `login`. The resource provider sets `login`. The field
    `login` is not an input of the resource.

    Attributes:
        login: the user that the settings declare for the host; "" where they declare none.
    """

    login: str


@dataclass(frozen=True)
class Undo:
    """How to undo a change without the client that made it.

    Attributes:
        paths: all files that the change touches, also those that do not exist yet. The guard keeps their
            bytes, owner and mode. The undo restores these files, and removes those that did not exist before.
            `paths` has no folders.
        commands: commands that make the host use the restored files, in this order. Each command must work in
            any state that the change may leave. If a command fails, the next ones still run.
    """

    paths: tuple[str, ...]
    commands: tuple[Argv, ...] = ()


@dataclass(frozen=True)
class Peer:
    """The two ends of the SSH session, from sshd's ``$SSH_CONNECTION``."""

    address: Address
    port: int
    server_address: Address
    server_port: int

    @classmethod
    def parse(cls, text: str) -> Peer | None:
        """Read ``CLIENT PORT SERVER PORT``.

        Return None if there is no SSH connection, for example on a console or in a test.
        """
        try:
            client, port, server, server_port = text.split()
            # Firewall rules treat an IPv4 client of an IPv6 socket as an IPv4 client.
            return cls(_plain(client), int(port), _plain(server), int(server_port))
        except ValueError:
            return None


def _plain(text: str) -> Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


class Guarded(ABC, Generic[D, F]):
    """A mixin for a kind whose changes need a fresh login as confirmation."""

    @abstractmethod
    def preflight(self, desired: D, facts: F, steps: list[Step], peer: Peer | None) -> AgentError | None:
        """Return why the host would refuse this session after the change, or None if no reason is known.

        The method does no I/O.
        """

    @abstractmethod
    def undo(self, desired: D, facts: F, steps: list[Step]) -> Undo | None:
        """Return how to undo `steps`, or None if no step can cut anybody off.

        For example, a change of sshd's log level cannot cut anybody off.
        """

    @abstractmethod
    def undo_removal(self, desired: D, record: Record, facts: F) -> Undo | None:
        """Return how to undo the changes that `remove` is about to make."""
