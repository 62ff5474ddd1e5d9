"""What Docker publishes beyond loopback, and which networks have somebody in them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

from portcullis.agent.docker_socket import ask
from portcullis.agent.errors import AgentError
from portcullis.components.exposure.on_host.sockets import is_local, key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from portcullis.agent.machine import Machine

_TIMEOUT = 30.0
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - what others bind to
# It runs, or comes back by itself within seconds. One that was stopped exposes nothing.
_UP = ("running", "restarting", "paused")
# Networks that Docker itself brings; what is on docker0 has no network of its own.
_DOCKERS = ("bridge", "host", "none")
# Their addresses are on the host's own wire: no packet to them comes in on the host, or is forwarded there.
_ON_THE_WIRE = ("ipvlan", "macvlan")
PAST_FILTERS = "past every filter of the host"
"""What is said of somebody in such a network."""
_DIGEST = re.compile(r"sha256:([0-9a-f]{12})[0-9a-f]{52}")
# The ports of all releases of an app: "tcp4 172.17.0.1:28000-28999 for api".
_RELEASE = re.compile(r"(?P<address>\w+ \S+):(?P<first>\d+)-(?P<last>\d+) for (?P<app>\S+)")

Binding = Tuple[str, str, int]  # protocol, address, port


@dataclass(frozen=True)
class Container:
    """One container, or one service of a swarm: what it publishes, and the networks that it is in."""

    id: str
    name: str
    image: str
    state: str
    bindings: Tuple[Binding, ...]
    networks: Tuple[str, ...]
    kind: str = "container"

    @property
    def is_up(self) -> bool:
        """Whether it runs, or is about to again."""
        return self.state in _UP

    @property
    def declared_as(self) -> str:
        """How a declaration names it."""
        return f'{self.kind} "{self.name}"'

    @property
    def app(self) -> str:
        """The app whose release it would be: ``api-7`` is one of ``api``."""
        return self.name.rpartition("-")[0]

    @property
    def text(self) -> str:
        """What people read of one that nobody declared."""
        image = _DIGEST.sub(r"sha256:\1", self.image) or "?"
        return f"{self.declared_as} ({image})"


def read(machine: Machine) -> List[Container]:
    """All containers; none where there is no Docker. Raises `AgentError` (``unreadable``)."""
    listed = _document(machine, "/containers/json?all=1")
    if listed is None:
        return []
    default = _default_address(machine.etc / "docker" / "daemon.json")
    found = []
    for entry in listed:
        bindings: Iterable[Binding] = _live(entry.get("Ports") or [])
        if entry.get("State") != "running":
            # Without a process Docker lists no port; what it was made with tells what comes back with it.
            details = _document(machine, f"/containers/{entry['Id']}/json") or {}
            bindings = _made_with((details.get("HostConfig") or {}).get("PortBindings") or {}, default)
        found.append(container(entry, bindings))
    return found + _services(machine)


def _services(machine: Machine) -> List[Container]:
    """The services of a swarm that this host manages: each publishes on every address of every host of it.

    None of their containers tells of it. A host that manages none does not know them.
    """
    answer = ask(machine.docker, "GET", "/services", timeout=_TIMEOUT)
    if answer is None:
        return []
    with answer:
        listed = answer.document() if answer.status == 200 else []  # noqa: PLR2004 - HTTP
    return [_service(entry) for entry in listed]


def _service(entry: Dict[str, Any]) -> Container:
    spec = entry.get("Spec") or {}
    image = ((spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}).get("Image")
    return Container(
        id=str(entry.get("ID")),
        name=str(spec.get("Name")),
        image=str(image or ""),
        state="running",
        bindings=tuple(
            (str(port.get("Protocol") or "tcp"), address, int(port["PublishedPort"]))
            for port in (entry.get("Endpoint") or {}).get("Ports") or ()
            if port.get("PublishedPort") and port.get("PublishMode") != "host"  # that one its container tells
            for address in (_EVERYWHERE, "::")
        ),
        networks=(),
        kind="service",
    )


def container(entry: Dict[str, Any], bindings: Iterable[Binding]) -> Container:
    """One container, out of an entry of Docker's list."""
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


def published(containers: Iterable[Container], declared: Mapping[str, str]) -> Dict[str, str]:
    """What is published beyond loopback: key → owner.

    What is declared counts as published while its container is there at all: one that restarts publishes
    nothing for a moment, and whether it runs is another resource's to say.
    """
    owners: Dict[str, set[str]] = {}
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
            elif one.is_up:
                owners.setdefault(name, set()).add(one.text)
    return {name: " and ".join(sorted(texts)) for name, texts in owners.items()}


def past_filters(machine: Machine) -> Dict[str, str]:
    """The networks whose packets pass by every filter of the host, each with its driver."""
    return {
        str(one.get("Name")): str(one["Driver"])
        for one in _document(machine, "/networks") or ()
        if one.get("Driver") in _ON_THE_WIRE
    }


def networks(
    containers: Iterable[Container], declared: Mapping[str, str], past: Mapping[str, str]
) -> Dict[str, str]:
    """The networks that are declared, and those besides that a running container is in: name → who is in it.

    A neighbour who sends packets for such a container to the host is refused by the filter alone, and not
    even by that where `past` has the network.
    """
    found: Dict[str, set[str]] = {}
    for one in containers:
        for network in one.networks if one.is_up else ():
            if network not in _DOCKERS and network not in declared:
                found.setdefault(network, set()).add(one.text)
    texts = {network: " and ".join(sorted(who)) for network, who in found.items()}
    for network in past.keys() & texts:
        texts[network] += f", {PAST_FILTERS} ({past[network]})"
    return {**declared, **texts}


def was_declared(port_key: str, owner: str, declared: Mapping[str, str]) -> bool:
    """Whether a published port is one of `declared`, whose container goes by another text by now."""
    name = owner.partition(" (")[0]
    return declared.get(port_key) == name or bool(_release(port_key, name[11:-1], _releases(declared)))


def _releases(declared: Iterable[str]) -> List[re.Match[str]]:
    return [match for name in declared if (match := _RELEASE.fullmatch(name))]


def _release(port_key: str, container: str, releases: Iterable[re.Match[str]]) -> str | None:
    """The key of the app whose release a container is, None where it is none."""
    app, _, number = container.rpartition("-")
    address, _, port = port_key.rpartition(":")
    for match in releases:
        is_its = match["app"] == app and number.isdecimal() and match["address"] == address
        if is_its and port.isdecimal() and int(match["first"]) <= int(port) <= int(match["last"]):
            return match.string
    return None


def _live(ports: Iterable[Dict[str, Any]]) -> Iterable[Binding]:
    for port in ports:
        if port.get("PublicPort"):
            yield str(port.get("Type", "tcp")), str(port.get("IP") or _EVERYWHERE), int(port["PublicPort"])


def _made_with(bindings: Mapping[str, Any], default: str) -> Iterable[Binding]:
    for name, host_ports in bindings.items():
        for entry in host_ports or ():
            port = str(entry.get("HostPort") or "")
            # A range, or any port: which one is decided at its start.
            if port.isdecimal() and port != "0":
                yield name.partition("/")[2] or "tcp", str(entry.get("HostIp") or default), int(port)


def _default_address(path: Path) -> str:
    """Where Docker publishes what names no address."""
    try:
        return str(json.loads(path.read_bytes()).get("ip") or _EVERYWHERE)
    except (OSError, ValueError, AttributeError):
        return _EVERYWHERE


def _document(machine: Machine, target: str) -> Any:
    """Docker's answer; None where there is no Docker, or no such thing any more."""
    answer = ask(machine.docker, "GET", target, timeout=_TIMEOUT)
    if answer is None:
        return None
    with answer:
        if answer.status == 404:  # noqa: PLR2004 - HTTP
            return None
        if answer.status != 200:  # noqa: PLR2004 - HTTP
            raise AgentError("unreadable", f"Docker does not list its containers: {answer.error()}")
        return answer.document()
