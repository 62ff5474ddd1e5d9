"""What a store gives to an app that uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi
    import pulumi_docker as docker


@dataclass(frozen=True, slots=True)
class StoreUse:
    """How an app reaches a store, and as whom.

    Attributes:
        networks: the networks to join.
        files: secrets of the app by the name of their file, such as `redis_url`.
        ready: what has to be there before the app starts.
    """

    networks: tuple[docker.Network, ...]
    files: Mapping[str, pulumi.Output[str]]
    ready: tuple[pulumi.Resource, ...]


class Authority(Protocol):
    """Who certifies a store that speaks TLS: InternalCa, or anything like it."""

    @property
    def ca_pem(self) -> pulumi.Output[str]:
        """Its own certificate, for clients."""

    def server(
        self, name: str, dns_names: Sequence[str], ip_addresses: Sequence[str] = ()
    ) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
        """Declare key and certificate of a server, and return the certificate and the key as PEM."""
