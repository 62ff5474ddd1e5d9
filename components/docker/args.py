"""Settings of a host's Docker engine, and the arguments of `DockerEngine`."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated, ClassVar

from portcullis.components.docker import networks
from portcullis.components.docker.versions import Source
from portcullis.config.forms import PRIVATE
from portcullis.config.section import Section, Written
from portcullis.config.value_types import Choice, ListOf, Number, Text, valid

if TYPE_CHECKING:
    from collections.abc import Sequence

_BIP = "172.17.0.1/16"


def _bridge(text: str) -> tuple[str, str] | None:
    hint = "write the bridge's own address with its prefix, such as 172.17.0.1/16"
    try:
        interface = ipaddress.IPv4Interface(text)
    except ValueError:
        return ("is not an IPv4 address with a prefix", hint)
    # Containers get the other addresses of the bridge's network. A /30 leaves one address for containers.
    if "/" not in text or not 8 <= interface.network.prefixlen <= 30:  # noqa: PLR2004 - lengths of prefixes
        return ("has no usable prefix", hint)
    if not any(interface.network.subnet_of(block) for block in PRIVATE):
        return ("is not a private network", "take one of 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16")
    if interface.ip in {interface.network.network_address, interface.network.broadcast_address}:
        return ("is the address of the network itself or its broadcast address", hint)
    return None


def _bind_address(text: str) -> tuple[str, str] | None:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return ("is not an IPv4 address", "write docker0's address, such as 172.17.0.1")
    if not address.is_loopback and not any(address in block for block in PRIVATE):
        why = "is not a private address: everybody who reaches it would reach the containers"
        return (why, "write docker0's address, such as 172.17.0.1")
    return None


def _pool(text: str) -> tuple[str, str] | None:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        return ("is not an IPv4 network", "write 10.200.0.0/16")
    if not any(network.subnet_of(block) for block in PRIVATE):
        return ("is not a private network", "take one of 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16")
    return None


Bridge = Annotated[str, Text("the address of a bridge", refused=_bridge)]
PoolBase = Annotated[str, Text("an IPv4 network", refused=_pool)]
BindAddress = Annotated[str, Text("an address of the host", refused=_bind_address)]
PoolSize = Annotated[int, Number("a prefix", 8, 29)]
EngineSource = Annotated[Source, Choice("where a Docker engine comes from")]


class PoolArgs(Section):
    """An address pool, from which Docker takes the networks of containers."""

    what: ClassVar[str] = "an address pool"

    base: PoolBase
    """The network that Docker divides, such as 10.200.0.0/16."""
    size: PoolSize = networks.POOL_SIZE
    """The prefix of each network that Docker takes from the pool.

    A network with the prefix /24 has room for 253 containers.
    """

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse networks that are larger than the range of the pool."""
        base, size = str(written.get("base")), written.get("size")
        prefix = base.rpartition("/")[2]
        if isinstance(size, int) and prefix.isdecimal() and size < int(prefix):
            written.at.field("size").refuse(
                size, f"does not fit into {base}", f"write a number from {prefix} to 29"
            )


class DockerEngineArgs(Section):
    """Settings of a host's Docker engine."""

    what: ClassVar[str] = "a Docker engine"

    source: EngineSource = "debian"
    """The source of the engine. `debian` installs the system's own packages, on Debian and on Ubuntu.
    `docker` installs from Docker's apt repository. `present` uses the engine that the host already has. This
    engine must be Docker 24 or later, and its packages stay unchanged."""
    bip: Bridge = _BIP
    """Address and prefix of the bridge docker0. Containers publish their ports on this address only. Change
    the address if your provider or a VPN uses 172.17.0.0/16."""
    address_pools: ListOf[PoolArgs] = ()
    """The ranges from which Docker takes the networks of containers: `[{base: 10.200.0.0/16, size: 24}]`. The
    default is the network that follows docker0's network."""

    @property
    def bind_address(self) -> str:
        """The only address on which containers publish their ports: docker0's address, without its prefix."""
        return str(ipaddress.IPv4Interface(self.bip).ip)

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse networks that overlap. If a single field is invalid, another check reports it."""
        read = declared_networks(written)
        if read is None:
            return
        bip, pools = read
        try:
            if not pools:
                networks.beside(bip)
        except ValueError as error:
            written.at.field("bip").refuse(
                bip, f"is too wide: {error}", "take a smaller network, such as /16"
            )
        for one, other in networks.collisions(bip, pools):
            written.at.field("address_pools").report(
                f"overlap: {one} and {other}", "take networks that do not overlap"
            )


def declared_networks(written: Written) -> tuple[str, Sequence[str]] | None:
    """Return docker0's address and the bases of the pools, or None if any of these values is wrong."""
    bip = valid(Bridge, written.get("bip", _BIP))
    pools = [valid(PoolBase, pool.get("base")) for pool in written.sections("address_pools")]
    return None if bip is None or None in pools else (bip, pools)


def capacity(written: Written) -> int | None:
    """Return for how many networks of containers the pools have room, or None if a value is wrong."""
    read = declared_networks(written)
    if read is None:
        return None
    bip, pools = read
    sizes = [
        valid(PoolSize, pool.get("size", networks.POOL_SIZE)) for pool in written.sections("address_pools")
    ]
    try:
        bases = [ipaddress.IPv4Network(pool) for pool in pools or [networks.beside(bip)]]
    except ValueError:
        return None
    bits = [
        (size or 0) - base.prefixlen for base, size in zip(bases, sizes or [networks.POOL_SIZE], strict=True)
    ]
    return sum(1 << more for more in bits) if min(bits) >= 0 else None
