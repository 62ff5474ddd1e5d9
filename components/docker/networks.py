"""The networks of a host's containers: docker0's, and those that the other networks are cut from."""

from __future__ import annotations

import ipaddress
import itertools
from typing import TYPE_CHECKING

from portcullis.config.forms import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

POOL_SIZE = 24
"""The prefix of each network that is cut from a pool."""


def docker0(bip: str) -> str:
    """Return the network of docker0, by its address and prefix."""
    return str(ipaddress.IPv4Interface(bip).network)


def beside(bip: str) -> str:
    """Return where the networks of containers come from if nobody says it: the network after docker0's.

    It is in docker0's private block, so whoever moves `bip` away from a provider's or VPN's network moves
    these along. Docker's own choice is of 31 large networks all over 172.16.0.0/12 and 192.168.0.0/16, which
    run out and collide; a /16 holds 256 networks of 253 containers.

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
    """Return each pair of networks that overlap, where none may: docker0's and the pools."""
    networks = [ipaddress.IPv4Interface(bip).network, *map(ipaddress.IPv4Network, pools)]
    for one, other in itertools.combinations(networks, 2):
        if one.overlaps(other):
            yield str(one), str(other)


def swallowed(bip: str, pools: Sequence[str], reached: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return each network of containers with an address that has to be reached elsewhere, and lies in it.

    The host would look for it among its containers from then on: its own address, or that of whoever deploys.

    Args:
        bip: address and prefix of docker0.
        pools: where the networks of containers come from; empty for ours.
        reached: addresses and networks; names are passed over.
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
