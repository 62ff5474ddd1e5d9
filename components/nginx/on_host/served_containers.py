"""Finds the containers to which nginx sends requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Dict, Mapping, Set, Tuple

from portcullis.components.nginx.on_host import nginx_config

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portcullis.agent.machine import Machine

IS_SERVED = "nginx sends requests to it"
"""The text about such an undeclared container. Without it, nginx would answer with an error."""


def ids(machine: Machine, listed: Iterable[Mapping[str, Any]]) -> Set[str]:
    """Return the ids of those containers in Docker's list whose address is in the configuration of nginx.

    A container in the host's network may have each port that no container publishes.
    """
    files = nginx_config.loaded(machine.etc / "nginx" / "nginx.conf").values()
    targets = {_split(target) for file in files for target in file.upstreams}
    ports = {str(one.get("Id")): _ports(one) for one in listed}
    published = set().union(*ports.values())
    found = set()
    for one in listed:
        networks: Dict[str, Any] = (one.get("NetworkSettings") or {}).get("Networks") or {}
        own = {
            str(joined.get(key)) for joined in filter(None, networks.values())
            for key in ("IPAddress", "GlobalIPv6Address")
        }  # fmt: skip
        number, is_hosts = str(one.get("Id")), "host" in networks
        if any(
            port in ports[number]
            or host.strip("[]") in own - {""}
            or (is_hosts and port and port not in published)
            for host, port in targets
        ):
            found.add(number)
    return found


def _ports(entry: Mapping[str, Any]) -> Set[str]:
    return {str(one["PublicPort"]) for one in entry.get("Ports") or () if one.get("PublicPort")}


def _split(target: str) -> Tuple[str, str]:
    """Return the host and the port of an upstream: `http://[::1]:80/x` is `[::1]` and `80`."""
    match = re.fullmatch(r"(?:\w+://)?(\[[^\]]*\]|[^:/]*)(?::(\d+))?(?:/.*)?", target)
    return (match[1], match[2] or "") if match else ("", "")
