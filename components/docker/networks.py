"""The networks of a host's containers: the network of docker0, and the pools for all other networks."""

from __future__ import annotations

import ipaddress
import itertools
from typing import TYPE_CHECKING

from portcullis.config.forms import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

POOL_SIZE = 24
"""The prefix of each network that Docker takes from a pool."""


def docker0(bip: str) -> str:
    """Return the network of docker0 from its address and prefix."""
    return str(ipaddress.IPv4Interface(bip).network)


def beside(bip: str) -> str:
    """Return the default pool for the networks of containers: the network after docker0's.

    The pool is in the same private block as docker0. So a `bip` that avoids the network of a provider or a
    VPN moves the pool as well. Docker's own default is 31 large networks in 172.16.0.0/12 and 192.168.0.0/16.
    These networks run out, and they overlap with other networks. A /16 has room for 256 networks of 253
    containers.

    Raises:
        ValueError: docker0's network leaves no room in its block.
    """
    own = ipaddress.IPv4Interface(bip).network
    block = next(block for block in PRIVATE if own.subnet_of(block))
    prefix = min(max(16, block.prefixlen + 1), own.prefixlen)
    if own == block:
        raise ValueError(
            f"the network {own} leaves no room in its private address block for the networks of containers"
        )
    following = int(own.supernet(new_prefix=prefix).broadcast_address) + 1
    if following > int(block.broadcast_address):
        following = int(block.network_address)
    return f"{ipaddress.IPv4Address(following)}/{prefix}"


def collisions(bip: str, pools: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return each pair of networks that overlap: docker0's network and the pools must not overlap."""
    networks = [ipaddress.IPv4Interface(bip).network, *map(ipaddress.IPv4Network, pools)]
    for one, other in itertools.combinations(networks, 2):
        if one.overlaps(other):
            yield str(one), str(other)


def swallowed(bip: str, pools: Sequence[str], reached: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return each network of containers that includes an address of `reached`, with that address.

    The host would send packets for such an address to its containers. Examples are the host's own address and
    the address of the deploying machine.

    Args:
        bip: address and prefix of docker0.
        pools: the pools for the networks of containers; empty for our default.
        reached: addresses and networks that the host must reach. Host names in this list are ignored.
    """
    bases = [ipaddress.IPv4Network(pool) for pool in pools or [beside(bip)]]
    for text in reached:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            continue
        for taken in (ipaddress.IPv4Interface(bip).network, *bases):
            if isinstance(network, ipaddress.IPv4Network) and taken.overlaps(network):
                yield str(taken), text
