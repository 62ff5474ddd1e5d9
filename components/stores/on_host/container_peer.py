"""Find the address of a store's container. The agent logs in at this address and nowhere else.

A published port does not prove which program listens on the port. While the container is down, any local user
may listen on its published port, unless the kernel keeps the port for root. So the agent logs in at the
address that Docker gave to the running container, on the container's own network. No local user can have that
address, and no other container is in that network.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portcullis.agent.docker_socket import ask
from portcullis.agent.errors import AgentError
from portcullis.agent.quotes import quoted
from portcullis.components.exposure.on_host import socket_owners, sockets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from portcullis.components.exposure.on_host.socket_owners import Process

_TIMEOUT = 30.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Peer:
    """The address of a running container.

    Attributes:
        address: the container's address and port on its own network.
        source: the host's address on that network, from which the agent connects. A connection from this
            address fails if the network is gone. Without this address, packets might leave by the default
            route.
    """

    address: str
    source: str


def find(machine: Machine, container: str, published: str) -> Peer | None:
    """Return the address of a container; None if the container does not run, or is not in its own network.

    Args:
        machine: the host.
        container: the container's name. The container's own network has the same name.
        published: the host's address and port at which Docker publishes the container.

    Raises:
        AgentError: with the code ``impostor``, if the container does not run and another program listens in
            its place; with the code ``unreadable``, if Docker does not answer.
    """
    host, _, port = published.rpartition(":")
    peer = _peer(_inspected(machine, container), container, port)
    if peer is None:
        _refuse_impostor(machine, container, host.strip("[]"), int(port))
    return peer


def _inspected(machine: Machine, container: str) -> Mapping[str, Any]:
    """Return Docker's description of a container; an empty map if the container does not exist."""
    if not _NAME.fullmatch(container):
        raise AgentError("invalid", f"{container!r} is not the name of a container", prop="container")
    answer = ask(machine.docker, "GET", f"/containers/{container}/json", timeout=_TIMEOUT)
    if answer is None:
        return {}
    with answer:
        if answer.status == 404:  # noqa: PLR2004 - HTTP
            return {}
        if answer.status != 200:  # noqa: PLR2004 - HTTP
            why = answer.error()
            raise AgentError("unreadable", f"Docker cannot describe the container {container}: {why}")
        found = answer.document()
        return found if isinstance(found, dict) else {}


def _peer(found: Mapping[str, Any], container: str, port: str) -> Peer | None:
    """Return the container's own address, if the container runs. `port` is its published port."""
    if not (found.get("State") or {}).get("Running"):
        return None
    network = ((found.get("NetworkSettings") or {}).get("Networks") or {}).get(container) or {}
    bindings = (found.get("HostConfig") or {}).get("PortBindings") or {}
    inside = [
        name.partition("/")[0]
        for name, bound in bindings.items()
        if name.endswith("/tcp") and any(str(each.get("HostPort")) == port for each in bound or ())
    ]
    address, source = network.get("IPAddress"), network.get("Gateway")
    if not inside or not address or not source:
        return None
    return Peer(f"{address}:{inside[0]}", str(source))


def _refuse_impostor(machine: Machine, container: str, host: str, port: int) -> None:
    """Raise if a program other than Docker listens in the container's place."""
    inodes = [
        one.inode
        for family, name in (("4", "tcp"), ("6", "tcp6"))
        for one in sockets.parse(_table(machine.proc / "net" / name), "tcp", family)
        if one.port == port and _takes(one.address, host)
    ]
    held = socket_owners.holders(machine.proc, inodes)
    for inode in inodes:
        processes = held.get(inode, [])
        # Docker's own listener starts before the container, and ends a moment after it.
        if not any(process.is_dockers for process in processes):
            raise _impostor(container, f"{host}:{port}", processes)


def _takes(listens: str, host: str) -> bool:
    """Return whether a socket that listens on the address `listens` accepts connections to `host`."""
    found = ipaddress.ip_address(listens)
    found = getattr(found, "ipv4_mapped", None) or found
    return found.is_unspecified or found == ipaddress.ip_address(host)


def _impostor(container: str, address: str, processes: list[Process]) -> AgentError:
    process = socket_owners.main_holder(processes)
    who, how = "an unknown program", "`ss -ltnp` shows the program"
    if process is not None:
        unit = f" in {process.unit}" if process.unit else ""
        who = f"process {quoted(process.name)} of {process.user}{unit} (uid {process.uid}, pid {process.pid})"
        how = f"`ps -fp {process.pid}` shows the program"
    return AgentError(
        "impostor",
        f"{who} listens at {address} in place of the container {container}, which does not run; Portcullis "
        "sent nothing to it, and no password",
        prop="address",
        hint=f"{how}; stop it, then `docker start {container}`. The program has what clients sent to it "
        "meanwhile",
    )


def _table(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except FileNotFoundError:
        return ""  # a kernel without IPv6
