"""Reads the ports that Docker publishes on non-loopback addresses, and the networks in use."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from portcullis.agent.docker_socket import ask
from portcullis.agent.errors import AgentError
from portcullis.components.exposure.on_host.sockets import is_local, key
from portcullis.components.nginx.on_host import served_containers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from portcullis.agent.machine import Machine

_TIMEOUT = 30.0
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - an address that Docker binds to
# A container in these states runs, or starts by itself within seconds. A stopped container exposes nothing.
_UP = ("running", "restarting", "paused")
# Docker creates these networks itself. A container on docker0 is in "bridge".
_DOCKERS = ("bridge", "host", "none")
# Drivers that connect containers directly to the physical network. The host neither receives nor forwards the
# packets of such containers, so its filters see no packet.
_ON_THE_WIRE = ("ipvlan", "macvlan")
PAST_FILTERS = "past every filter of the host"
"""The text for containers in a network of these drivers."""
_DIGEST = re.compile(r"sha256:([0-9a-f]{12})[0-9a-f]{52}")
# The key of the port range that the releases of an app share: "tcp4 172.17.0.1:28000-28999 for api".
_RELEASE = re.compile(r"(?P<address>\w+ \S+):(?P<first>\d+)-(?P<last>\d+) for (?P<app>\S+)")

Binding = tuple[str, str, int]  # the protocol, address and port of a binding


@dataclass(frozen=True)
class Container:
    """A container or a Swarm service, with its published ports and its networks.

    `served` says whether nginx sends requests to it, or may do so. Else this text is empty.
    """

    id: str
    name: str
    image: str
    state: str
    bindings: tuple[Binding, ...]
    networks: tuple[str, ...]
    kind: str = "container"
    served: str = ""

    @property
    def is_up(self) -> bool:
        """Whether the container runs, or is about to run again."""
        return self.state in _UP

    @property
    def declared_as(self) -> str:
        """The container's name in the declared maps: ``container "api"``."""
        return f'{self.kind} "{self.name}"'

    @property
    def app(self) -> str:
        """The app, if this container is a release: ``api-7`` is a release of ``api``."""
        return self.name.rpartition("-")[0]

    @property
    def text(self) -> str:
        """The text for an undeclared container: its name and its image, and whether a site needs it."""
        image = _DIGEST.sub(r"sha256:\1", self.image) or "?"
        served = f", {self.served}" if self.served else ""
        return f"{self.declared_as} ({image}){served}"


def read(machine: Machine) -> list[Container]:
    """Return all containers of the host.

    A host without Docker has no containers. Raises `AgentError` (``unreadable``).
    """
    listed = _document(machine, "/containers/json?all=1")
    if listed is None:
        return []
    default = default_address(machine)
    services = _services(machine)
    found = []
    for entry in listed:
        bindings: Iterable[Binding] = _live(entry.get("Ports") or [])
        if entry.get("State") != "running":
            # Docker lists no ports of a container without a process. Then we take the ports from the
            # container's settings.
            details = _document(machine, f"/containers/{entry['Id']}/json") or {}
            bindings = _made_with((details.get("HostConfig") or {}).get("PortBindings") or {}, default)
        found.append(container(entry, bindings))
    as_listed = [
        {"Id": one.id, "Ports": [{"PublicPort": port} for _, _, port in one.bindings]} for one in services
    ]
    served = served_containers.Targets(machine).texts([*listed, *as_listed])
    return [replace(one, served=served.get(one.id, "")) for one in (*found, *services)]


def _services(machine: Machine) -> list[Container]:
    """Return the services of the swarm, if this host is a manager of a swarm.

    A service publishes its ports on every address of every host in the swarm. The containers of a service do
    not show these ports. A host that is no manager cannot list the services.
    """
    answer = ask(machine.docker, "GET", "/services", timeout=_TIMEOUT)
    if answer is None:
        return []
    with answer:
        listed = answer.document() if answer.status == 200 else []  # noqa: PLR2004 - HTTP
    return [_service(entry) for entry in listed]


def _service(entry: dict[str, Any]) -> Container:
    spec = entry.get("Spec") or {}
    image = ((spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}).get("Image")
    return Container(
        id=str(entry.get("ID")),
        name=str(spec.get("Name")),
        image=str(image or ""),
        state="running",
        # A port in host mode is left out, because its container shows it.
        bindings=tuple(
            (str(port.get("Protocol") or "tcp"), address, int(port["PublishedPort"]))
            for port in (entry.get("Endpoint") or {}).get("Ports") or ()
            if port.get("PublishedPort") and port.get("PublishMode") != "host"
            for address in (_EVERYWHERE, "::")
        ),
        networks=(),
        kind="service",
    )


def container(entry: dict[str, Any], bindings: Iterable[Binding]) -> Container:
    """Build a container from an entry of Docker's list."""
    names = entry.get("Names") or [entry["Id"][:12]]
    networks = ((entry.get("NetworkSettings") or {}).get("Networks")) or {}
    return Container(
        id=str(entry["Id"]),
        name=str(names[0]).lstrip("/"),
        image=str(entry.get("Image") or ""),
        state=str(entry.get("State") or ""),
        bindings=tuple(sorted(set(bindings))),
        networks=tuple(sorted(networks)),
    )


def published(
    containers: Iterable[Container],
    declared: Mapping[str, str],
    recorded: Collection[str] = (),
    own: str = "",
) -> dict[str, str]:
    """Return the ports that are published on non-loopback addresses: key → owner.

    A declared port counts as published as long as its container exists. A restarting container publishes
    nothing for a moment, and another resource checks that the container runs.

    The settings of a host do not name each container that a program declares. `recorded` has the ids of all
    declared containers. They may publish on `own`, the address in the settings of Docker, if there is one.
    """
    owners: dict[str, set[str]] = {}
    releases = _releases(declared)
    for one in containers:
        for protocol, address, port in one.bindings:
            if is_local(address):
                continue
            port_key = key(protocol, address, port)
            name = _release(port_key, one.name, releases) or port_key
            if name in declared and declared[name] in (one.declared_as, one.text):
                owners.setdefault(name, set()).add(declared[name])
            elif name in declared and " for " in name:
                owners.setdefault(name, set()).add(f'container "{one.app}"')
            elif one.is_up and (name in declared or one.id not in recorded or address != own):
                owners.setdefault(name, set()).add(one.text)
    return {name: " and ".join(sorted(texts)) for name, texts in owners.items()}


def past_filters(machine: Machine) -> dict[str, str]:
    """Return the networks whose packets bypass every filter of the host, each with its driver."""
    return {
        str(one.get("Name")): str(one["Driver"])
        for one in _document(machine, "/networks") or ()
        if one.get("Driver") in _ON_THE_WIRE
    }


def networks(
    containers: Iterable[Container],
    declared: Mapping[str, str],
    past: Mapping[str, str],
    recorded: Collection[str] = (),
    links: Collection[str] = (),
) -> dict[str, str]:
    """Return the declared networks, and undeclared networks with a running container: name → containers.

    A machine on the same network segment can send packets for such a container to the host. Only the forward
    filter refuses such packets. For a network in `past`, even this filter refuses nothing. A container whose
    id is in `recorded` is declared, and its own resource reads its networks. Another resource reads who is in
    a network of `links`.
    """
    found: dict[str, set[str]] = {}
    for one in containers:
        for network in one.networks if one.is_up else ():
            if network not in (*_DOCKERS, *declared) and (
                network in past or (one.id not in recorded and network not in links)
            ):
                found.setdefault(network, set()).add(one.text)
    texts = {network: " and ".join(sorted(who)) for network, who in found.items()}
    for network in past.keys() & texts:
        texts[network] += f", {PAST_FILTERS} ({past[network]})"
    return {**declared, **texts}


def was_declared(port_key: str, owner: str, declared: Mapping[str, str]) -> bool:
    """Whether `declared` has this published port with the container of `owner`.

    The text `owner` names the container and its image.
    """
    name = owner.partition(" (")[0]
    return declared.get(port_key) == name or bool(_release(port_key, name[11:-1], _releases(declared)))


def _releases(declared: Iterable[str]) -> list[re.Match[str]]:
    return [match for name in declared if (match := _RELEASE.fullmatch(name))]


def _release(port_key: str, container: str, releases: Iterable[re.Match[str]]) -> str | None:
    """Return the shared key of the app, if the container is a release of an app."""
    app, _, number = container.rpartition("-")
    address, _, port = port_key.rpartition(":")
    for match in releases:
        is_its = match["app"] == app and number.isdecimal() and match["address"] == address
        if is_its and port.isdecimal() and int(match["first"]) <= int(port) <= int(match["last"]):
            return match.string
    return None


def _live(ports: Iterable[dict[str, Any]]) -> Iterable[Binding]:
    for port in ports:
        if port.get("PublicPort"):
            yield str(port.get("Type", "tcp")), str(port.get("IP") or _EVERYWHERE), int(port["PublicPort"])


def _made_with(bindings: Mapping[str, Any], default: str) -> Iterable[Binding]:
    for name, host_ports in bindings.items():
        for entry in host_ports or ():
            port = str(entry.get("HostPort") or "")
            # If a container asks for a range or for port 0, Docker chooses the port at its start.
            if port.isdecimal() and port != "0":
                yield name.partition("/")[2] or "tcp", str(entry.get("HostIp") or default), int(port)


def default_address(machine: Machine) -> str:
    """Return the address on which Docker publishes a port if the container names no address for it."""
    try:
        found = json.loads((machine.etc / "docker/daemon.json").read_bytes())
        return str(found.get("ip") or _EVERYWHERE)
    except (OSError, ValueError, AttributeError):
        return _EVERYWHERE


def own_address(machine: Machine) -> str:
    """Return the address on which Docker publishes, as its settings say, or "" if that is every address."""
    address = default_address(machine)
    return "" if address in (_EVERYWHERE, "::") else address


def _document(machine: Machine, target: str) -> Any:
    """Return Docker's answer. Return None if there is no Docker, or Docker no longer knows the object."""
    answer = ask(machine.docker, "GET", target, timeout=_TIMEOUT)
    if answer is None:
        return None
    with answer:
        if answer.status == 404:  # noqa: PLR2004 - HTTP
            return None
        if answer.status != 200:  # noqa: PLR2004 - HTTP
            raise AgentError("unreadable", f"Docker cannot list its containers: {answer.error()}")
        return answer.document()
