"""Finds the containers to which nginx sends requests."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

from portcullis.components.nginx.on_host import nginx_config

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from portcullis.agent.machine import Machine

IS_SERVED = "nginx sends requests to it"
"""The text about such an undeclared container. Without it, nginx would answer with an error."""
MAY_BE_SERVED = "nginx may send requests to it"
"""The text about each other container that runs, if some target of nginx is no address."""

# The scheme, the host and the port of a target, and what else precedes its path: `http://[::1]:80$uri`.
_TARGET = re.compile(r"(?:(\w+)://)?(\[[^\]]*\]|[^:/?$]*)(?::(\d{1,5}))?([^/?]*)")
_STOPPED = ("created", "exited", "dead")


class Targets:
    """The hosts and ports to which nginx sends requests.

    Attributes:
        is_unclear: whether some target is a variable, a socket, or a name that is resolved elsewhere.
    """

    def __init__(self, machine: Machine) -> None:
        """Read the targets from the files that nginx loads."""
        files = nginx_config.loaded(machine.etc / "nginx" / "nginx.conf").values()
        groups = {name.lower() for file in files for name in file.groups}
        self.is_unclear = False
        self._hosts: set[str] = set()
        self._ports: set[int] = set()
        for file in files:
            for target in file.servers:
                self._add(target)
            for target in file.passes:
                self._add(target, groups)

    def _add(self, target: str, groups: Collection[str] = ()) -> None:
        """Add a target. A name in `groups` is no host."""
        scheme, host, port, rest = _TARGET.match(target).groups()  # type: ignore[union-attr]
        if host.lower() in groups and not rest:
            return
        address = _canonical(host)
        is_clear = bool(address or host == "localhost") and not rest
        self.is_unclear |= not is_clear
        self._hosts.add(address)
        if port or is_clear:
            self._ports.add(int(port or (443 if scheme in ("https", "grpcs") else 80)))

    def has(self, addresses: Iterable[str]) -> bool:
        """Return whether nginx sends requests to one of these addresses."""
        return not self._hosts.isdisjoint(set(map(_canonical, addresses)) - {""})

    def texts(self, listed: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Return the text about each container in Docker's list that nginx needs or may need, by its id.

        A container in the host's network may have each port that no container publishes.
        """
        is_free = bool(self._ports.difference(*map(_ports, listed)))
        # A container can answer at the address and the ports of another one.
        shared = {
            f"container:{name}": other
            for other in listed
            for name in (other.get("Id"), *(name.lstrip("/") for name in other.get("Names") or ()))
        }
        found: dict[str, str] = {}
        for one in listed:
            at = shared.get(str((one.get("HostConfig") or {}).get("NetworkMode")), one)
            networks: dict[str, Any] = (at.get("NetworkSettings") or {}).get("Networks") or {}
            own = [
                str(joined.get(key) or "") for joined in filter(None, networks.values())
                for key in ("IPAddress", "GlobalIPv6Address")
            ]  # fmt: skip
            if self._ports & _ports(at) or self.has(own) or (is_free and "host" in networks):
                found[str(one.get("Id"))] = IS_SERVED
            elif self.is_unclear and one.get("State") not in _STOPPED:
                found[str(one.get("Id"))] = MAY_BE_SERVED
        return found


def _ports(entry: Mapping[str, Any]) -> set[int]:
    return {int(one["PublicPort"]) for one in entry.get("Ports") or () if one.get("PublicPort")}


def _canonical(host: str) -> str:
    """Return an address in its usual form, or "" for every other text."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)
