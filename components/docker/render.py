"""/etc/docker/daemon.json. JSON has no comments, and dockerd refuses unknown keys: the reasons stand here.

Keys: https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
"""

from __future__ import annotations

import ipaddress
import itertools
import json
from typing import TYPE_CHECKING

from portcullis.settings.forms import PRIVATE
from portcullis.settings.model import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from portcullis.dialect import Dialect

PATH = "/etc/docker/daemon.json"


def pools_beside(bip: str) -> tuple[Pool, ...]:
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
    return (Pool(f"{ipaddress.IPv4Address(following)}/{prefix}", 24),)


def collisions(bip: str, pools: Sequence[Pool]) -> Iterator[tuple[str, str]]:
    """Return each pair of networks that overlap, where none may: docker0's and the pools."""
    networks = [ipaddress.IPv4Interface(bip).network, *(ipaddress.IPv4Network(pool.base) for pool in pools)]
    for one, other in itertools.combinations(networks, 2):
        if one.overlaps(other):
            yield str(one), str(other)


def swallowed(bip: str, pools: Sequence[Pool], reached: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return each network of containers with an address that has to be reached elsewhere, and lies in it.

    The host would look for it among its containers from then on: its own address, or that of whoever deploys.

    Args:
        bip: address and prefix of docker0.
        pools: where the networks of containers come from; empty for ours.
        reached: addresses and networks; names are passed over.
    """
    bases = [ipaddress.IPv4Network(pool.base) for pool in pools or pools_beside(bip)]
    for text in reached:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            continue
        for taken in (ipaddress.IPv4Interface(bip).network, *bases):
            if isinstance(network, ipaddress.IPv4Network) and taken.overlaps(network):
                yield str(taken), text


def daemon_json(dialect: Dialect, bip: str, pools: Sequence[Pool] = ()) -> str:
    """Render the file for a host whose docker0 has the address and prefix `bip`."""
    bind = str(ipaddress.IPv4Interface(bip).ip)
    config: dict[str, object] = {
        # The one source of docker0's address: everything that publishes or proxies derives from it.
        "bip": bip,
        # Where the networks of containers come from; none of them takes docker0's.
        "default-address-pools": [
            {"base": pool.base, "size": pool.size} for pool in pools or pools_beside(bip)
        ],
        # Said, although it is the default: dockerd does not start when a flag contradicts its file, so nobody
        # switches it off by a flag. "All ports of all containers will be accessible from the network" then:
        # https://docs.docker.com/engine/network/packet-filtering-firewalls/ (CIS Docker 2.4).
        "iptables": True,
        # A port that somebody publishes without naming an address lands here and not on 0.0.0.0.
        "ip": bind,
        # Containers on docker0 have no business with each other (CIS Docker 2.2).
        "icc": False,
        # setuid programs inside a container gain nothing, also in containers started by hand (CIS 2.14).
        "no-new-privileges": True,
        # Upgrades and restarts of the engine leave containers running (CIS 2.15). It rules out Swarm mode.
        "live-restore": True,
        # A log can fill a disk: at most 3 files of 10 MB a container, unless it says otherwise.
        "log-driver": "json-file",
        "log-opts": {"max-file": "3", "max-size": "10m"},
        # On, against CIS 2.16. Off, Docker sets route_localnet on every bridge, and a container that crafts
        # packets reaches what listens on the host's 127.0.0.1 (setupLoopbackAddressesRouting in moby's
        # bridge driver; CVE-2020-8558 was the same door). It costs a process a port.
        "userland-proxy": True,
    }
    if dialect.network_defaults:
        # "ip" is for docker0 only; this says the same for networks that people make.
        config["default-network-opts"] = {"bridge": {"com.docker.network.bridge.host_binding_ipv4": bind}}
    if dialect.docker_firewall_backend:
        # Said, although it is the default: with nftables Docker no longer switches forwarding on, and ufw's
        # policy for forwarded packets breaks published ports.
        # https://docs.docker.com/engine/network/firewall-nftables/
        config["firewall-backend"] = "iptables"
    return json.dumps(config, indent=2, sort_keys=True) + "\n"


def validation(dialect: Dialect) -> list[str]:
    """Return the command that checks the file at {path} before it is put in place.

    Where dockerd cannot check it, at least its syntax is: a broken file keeps the engine from starting.
    """
    if dialect.dockerd_validates:
        return ["dockerd", "--validate", "--config-file", "{path}"]
    return ["python3", "-m", "json.tool", "{path}", "/dev/null"]
