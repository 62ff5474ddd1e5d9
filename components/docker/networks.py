"""The networks of a host's containers: docker0's, and the pools that Docker cuts the others from."""

from __future__ import annotations

import ipaddress
import itertools
from typing import TYPE_CHECKING

from portcullis.config.forms import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

POOL_SIZE = 24
"""The prefix of each network that Docker cuts from a pool."""


def docker0(bip: str) -> str:
    """Return the network of docker0 from its address and prefix."""
    return str(ipaddress.IPv4Interface(bip).network)


def beside(bip: str) -> str:
    """Return the default pool for the networks of containers: the network after docker0's.

    The pool is in the same private block as docker0. Whoever moves `bip` away from the network of a provider
    or a VPN moves the pool as well. Docker's own default is 31 large networks in 172.16.0.0/12 and
    192.168.0.0/16. They run out, and they overlap with other networks. A /16 has room for 256 networks of 253
    containers.

    Raises:
        ValueError: docker0's network leaves no room in its block.
    """
    own = ipaddress.IPv4Interface(bip).network
    block = next(block for block in PRIVATE if own.subnet_of(block))
    prefix = min(max(16, block.prefixlen + 1), own.prefixlen)
    if own == block:
        raise ValueError(f"{own} leaves no room for the networks of containers")
    following = int(own.supernet(new_prefix=prefix).broadcast_address) + 1
    if following > int(block.broadcast_address):
        following = int(block.network_address)
    return f"{ipaddress.IPv4Address(following)}/{prefix}"


def collisions(bip: str, pools: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return each pair of networks that overlap. Neither docker0's nor a pool may overlap another."""
    networks = [ipaddress.IPv4Interface(bip).network, *map(ipaddress.IPv4Network, pools)]
    for one, other in itertools.combinations(networks, 2):
        if one.overlaps(other):
            yield str(one), str(other)


def swallowed(bip: str, pools: Sequence[str], reached: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return each network of containers that includes an address outside the containers, with that address.

    The host would look for such an address among its containers. Examples are the host's own address and the
    address of the deploying machine.

    Args:
        bip: address and prefix of docker0.
        pools: the pools for the networks of containers; empty for our default.
        reached: addresses and networks that the host must reach. Host names are ignored.
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
