"""Render /etc/docker/daemon.json.

The reason for each key is a comment in this Python module, because JSON has no comments and dockerd refuses
unknown keys.

The keys are explained at https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file.
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
        # The one source of docker0's address. Published ports and nginx's upstreams follow it.
        "bip": bip,
        # Docker cuts the networks of containers from these. None of them overlaps docker0's network.
        "default-address-pools": [{"base": pool.base, "size": pool.size} for pool in pools]
        or [{"base": networks.beside(bip), "size": networks.POOL_SIZE}],
        # We set it although it is the default. dockerd does not start if a flag contradicts its file, so
        # nobody can switch it off with a flag. Without it, "all ports of all containers will be accessible
        # from the network": https://docs.docker.com/engine/network/packet-filtering-firewalls/ (CIS 2.4).
        "iptables": True,
        # A port published without an address is bound to this address and not to 0.0.0.0.
        "ip": bind,
        # Containers on docker0 cannot reach each other (CIS 2.2).
        "icc": False,
        # setuid programs in a container gain no privileges, also in containers started by hand (CIS 2.14).
        "no-new-privileges": True,
        # Containers keep running while the engine restarts or upgrades (CIS 2.15). Swarm mode excludes it.
        "live-restore": True,
        # A log can fill a disk. Each container keeps at most 3 files of 10 MB, unless it sets its own limit.
        "log-driver": "json-file",
        "log-opts": {"max-file": "3", "max-size": "10m"},
        # We keep it on, against CIS 2.16. Without it, Docker sets route_localnet on every bridge. A container
        # with crafted packets then reaches services on the host's 127.0.0.1 (setupLoopbackAddressesRouting in
        # moby's bridge driver; CVE-2020-8558 was the same attack). It costs one process for each port.
        "userland-proxy": True,
    }
    if dialect.network_defaults:
        # "ip" applies to docker0 only. This sets the same address for networks that people create.
        config["default-network-opts"] = {"bridge": {"com.docker.network.bridge.host_binding_ipv4": bind}}
    if dialect.docker_firewall_backend:
        # We set it although it is the default. With nftables, Docker does not switch forwarding on, and ufw's
        # policy for forwarded packets breaks published ports.
        # https://docs.docker.com/engine/network/firewall-nftables/
        config["firewall-backend"] = "iptables"
    return json.dumps(config, indent=2, sort_keys=True) + "\n"


def validation(dialect: Dialect) -> list[str]:
    """Return the command that checks the new daemon.json at {path} before it replaces the old file.

    With a broken daemon.json, the engine does not start. Versions of dockerd without `--validate` cannot
    check the file, so we check its JSON syntax.
    """
    if dialect.dockerd_validates:
        return ["dockerd", "--validate", "--config-file", "{path}"]
    return ["python3", "-m", "json.tool", "{path}", "/dev/null"]
