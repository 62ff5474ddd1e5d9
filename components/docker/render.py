"""/etc/docker/daemon.json. JSON has no comments, and dockerd refuses unknown keys: the reasons stand here.

Keys: https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
"""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING

from portcullis.components.docker import networks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.components.docker.args import PoolArgs
    from portcullis.dialect import Dialect

PATH = "/etc/docker/daemon.json"


def daemon_json(dialect: Dialect, bip: str, pools: Sequence[PoolArgs] = ()) -> str:
    """Render the file for a host whose docker0 has the address and prefix `bip`."""
    bind = str(ipaddress.IPv4Interface(bip).ip)
    config: dict[str, object] = {
        # The one source of docker0's address: everything that publishes or proxies derives from it.
        "bip": bip,
        # Where the networks of containers come from; none of them takes docker0's.
        "default-address-pools": [{"base": pool.base, "size": pool.size} for pool in pools]
        or [{"base": networks.beside(bip), "size": networks.POOL_SIZE}],
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
