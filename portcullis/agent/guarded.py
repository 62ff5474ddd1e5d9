"""What a kind of thing adds whose changes can cut off the person who makes them.

The agent arms an undo before such a change and keeps it armed until somebody has logged in again from
outside (see `guard`). A kind only says what there is to undo, and what it can tell beforehand.
"""

from __future__ import annotations

import ipaddress
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Tuple, Union

from portcullis.agent.kind import D, F
from portcullis.agent.wire import Desired

if TYPE_CHECKING:
    from portcullis.agent.errors import AgentError
    from portcullis.agent.step import Step
    from portcullis.agent.store import Record

Argv = Tuple[str, ...]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


@dataclass(frozen=True)
class GuardedDesired(Desired):
    """What a kind declares whose changes could refuse the user that deploys.

    Only for a kind that looks at `login`. The program's half fills it in; it is no input of the resource.

    Attributes:
        login: the user that the settings declare for the host; "" where nothing says.
    """

    login: str


@dataclass(frozen=True)
class Undo:
    """How to take a change back without whoever made it.

    Attributes:
        paths: files that the change touches, whether they are there now or not. The guard keeps their bytes,
            owner and mode, and puts them back or takes them away. No folders.
        commands: what makes the host run on those files again, in order, after they are back. Each has to
            work whatever state the change left; one that fails does not keep the others from running.
    """

    paths: tuple[str, ...]
    commands: tuple[Argv, ...] = ()


@dataclass(frozen=True)
class Peer:
    """Where the session comes from: ``$SSH_CONNECTION``, as sshd saw it."""

    address: Address
    port: int
    server_address: Address
    server_port: int

    @classmethod
    def parse(cls, text: str) -> Peer | None:
        """Read ``CLIENT PORT SERVER PORT``; None where there was no SSH connection (a console, a test)."""
        try:
            client, port, server, server_port = text.split()
            # An IPv4 client of an IPv6 socket is an IPv4 client for every rule.
            return cls(_plain(client), int(port), _plain(server), int(server_port))
        except ValueError:
            return None


def _plain(text: str) -> Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


class Guarded(ABC, Generic[D, F]):
    """Mixed into a kind whose changes are confirmed by a fresh login."""

    @abstractmethod
    def preflight(self, desired: D, facts: F, steps: list[Step], peer: Peer | None) -> AgentError | None:
        """Why the declared state would refuse the session that brings it, if that can be told; pure."""

    @abstractmethod
    def undo(self, desired: D, facts: F, steps: list[Step]) -> Undo | None:
        """How to take `steps` back; None where they cannot cut anybody off (a comment, a log level)."""

    @abstractmethod
    def undo_removal(self, desired: D, record: Record, facts: F) -> Undo | None:
        """How to take back what `remove` is about to do."""
