"""Derives from the settings what a host exposes: listeners, published ports and open firewall rules.

This module does no I/O. The agent reads back the same keys, see docs/exposure.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.components.containers.facts import PORTS
from portcullis.components.exposure.on_host import packet_passes, sockets
from portcullis.components.firewall.on_host import ufw_names
from portcullis.components.firewall.on_host.ufw_rules import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SSHD, NGINX = "ssh.service", "nginx.service"
_EVERY = {"4": "0.0.0.0", "6": "::"}  # noqa: S104 - what sshd and nginx bind to

# protocol, port and owner → why a host may have this listener.
USUAL: Mapping[str, str] = {
    "udp 68 by dhclient": "asks the provider for the host's address (ifupdown)",
    "udp 68 by dhcpcd": "asks the provider for the host's address (ifupdown since Debian 13)",
    "udp 68 by systemd-networkd.service": "asks the provider for the host's address (cloud images)",
    "udp 68 by NetworkManager.service": "asks the provider for the host's address",
    "udp 546 by dhclient": "asks for the IPv6 address, dhclient -6",
    "udp 546 by dhcpcd": "asks for the IPv6 address",
    "udp 546 by systemd-networkd.service": "asks for the IPv6 address",
    "udp 546 by NetworkManager.service": "asks for the IPv6 address",
    "udp ephemeral by systemd-timesyncd.service": "asks for the time, and waits for the answer",
    "udp ephemeral by chrony.service": "asks for the time, and waits for the answer",
    "udp ephemeral by systemd-resolved.service": "asks for names, and waits for the answer",
}
"""Listeners beyond loopback that a plain Debian or Ubuntu has at some providers. ufw lets nobody reach them.

An entry names the unit, because a process can choose its own name. An entry names the program only where root
alone can take the port, and where the unit depends on what starts the program (`ifup@eth0.service`,
`networking.service`).
"""


def listeners(ssh_port: int, *, web: bool) -> dict[str, str]:
    """Return the listeners: sshd, and nginx if the host has sites, on every IPv4 and IPv6 address."""
    ports = {ssh_port: SSHD} | ({80: NGINX, 443: NGINX} if web else {})
    return {
        sockets.key("tcp", address, port): owner
        for port, owner in sorted(ports.items())
        for address in _EVERY.values()
    }


def published(bind_address: str, ports: Mapping[str, int], released: Sequence[str] = ()) -> dict[str, str]:
    """Return the ports that containers publish on docker0's address.

    Args:
        bind_address: docker0's address.
        ports: the fixed ports, by the container's name.
        released: apps whose releases each publish a port of their own.
    """
    fixed = {
        sockets.key("tcp", bind_address, port): f'container "{name}"'
        for name, port in sorted(ports.items(), key=lambda entry: entry[1])
    }
    place = f"tcp4 {bind_address}:{PORTS[0]}-{PORTS[-1]}"
    return fixed | {f"{place} for {name}": f'container "{name}"' for name in sorted(released)}


def passes(
    ssh_port: int, allowed: Sequence[str], public: Mapping[str, Sequence[str]], *, own: Sequence[str] = ()
) -> dict[str, str]:
    """Return what ufw and the forward filter let through.

    Args:
        ssh_port: sshd's port. The `SshServer` opens it.
        allowed: ports that ufw opens, in the form of `Firewall`: `443/tcp`, `5432/tcp from 203.0.113.0/24`.
        public: ports that containers publish to the world, such as `8000-8010/tcp`, each with its sources.
        own: more ufw rules, such as `53/udp on docker0`.
    """
    rules = [f"{ssh_port}/tcp", *allowed, *own]
    rules += [
        f"{port.replace('-', ':')}{source}"
        for port, sources in public.items()
        for source in ([f" from {one}" for one in sources] or [""])
    ]
    found: dict[str, set[str]] = {}
    for text in rules:
        for family, declared in ufw_names.declared(f"in {text}", "allow").items():
            for rule in declared:
                for key in packet_passes.keys(rule.match, family):
                    found.setdefault(key, set()).add(packet_passes.source(rule.match))
    for port, sources in public.items():
        ports, _, protocol = port.partition("/")
        for family in FAMILIES:
            known = [one for one in sources if (":" in one) == (family == "6")]
            if known or not sources:
                key = packet_passes.public_key(protocol, family, ports)
                found.setdefault(key, set()).update(known or [packet_passes.ANYWHERE])
    return packet_passes.joined(found)


def usual(allowed: Sequence[str], public: Sequence[str] = ()) -> dict[str, str]:
    """Return what else may be exposed: listeners of the system, and any owner of a port that is open."""
    by_allow = {f"{port} by *": "firewall.allow opens it" for text in allowed for port in _ports(text)}
    by_public = {
        f"published {port} by *": "firewall.public opens it"
        for text in public
        for port in _ports(text.replace("-", ":"))
    }
    return dict(sorted({**USUAL, **by_allow, **by_public}.items()))


def _ports(text: str) -> list[str]:
    """Return ports with their protocol, as the agent spells them, such as `udp 60000-61000`."""
    match, _ = ufw_names.parse_name(f"in {text}")
    protocols = ("tcp", "udp") if match.proto == "any" else (match.proto,)
    ports = [part.replace(":", "-") for part in match.dport.split(",") if part != "any"]
    return [f"{protocol} {port}" for protocol in protocols for port in ports if protocol in ("tcp", "udp")]
