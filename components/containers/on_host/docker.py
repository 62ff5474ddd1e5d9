"""Read containers through Docker's command line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portcullis.agent.machine import Machine
    from portcullis.agent.run import Done
    from portcullis.agent.step import Json

_TIMEOUT = 30.0
# We ask for these fields only, because the whole answer contains the environment.
_FORMAT = (
    '{"id":{{json .Id}},"name":{{json .Name}},"state":{{json .State}},"restarts":{{json .RestartCount}},'
    '"pids":{{json .HostConfig.PidsLimit}},"cpus":{{json .HostConfig.NanoCpus}},'
    '"ports":{{json .HostConfig.PortBindings}},"networks":{{json .NetworkSettings.Networks}}}'
)
_LINES, _COLUMNS = 40, 300


@dataclass(frozen=True)
class Container:
    """One container. `pids` 0 is no limit; `cpus` is in billionths of a CPU."""

    id: str
    name: str
    state: Json
    restarts: int
    pids: int
    cpus: int
    ports: tuple[int, ...]
    networks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Each network that the container is in, with the container's other names there."""

    @property
    def running(self) -> bool:
        """Whether the container's program runs, or Docker is about to restart the program."""
        return bool(self.state.get("Running"))

    @property
    def status(self) -> str:
        """The container's health if it runs and has a health check, otherwise its state and exit code."""
        word = str(self.state.get("Status", "unknown"))
        if word == "running":
            health = self.state.get("Health") or {}
            return str(health.get("Status") or word)
        code = self.state.get("ExitCode", 0)
        return f"{word} {code}" if word in ("exited", "restarting", "dead") else word

    @property
    def health_said(self) -> str:
        """The output of the container's last health check."""
        log = (self.state.get("Health") or {}).get("Log") or []
        return _capped(str(log[-1].get("Output", ""))) if log else ""


def docker(
    machine: Machine, *argv: str, timeout: float = _TIMEOUT, env: Mapping[str, str] | None = None
) -> Done:
    """Run the docker command. Raises `AgentError`."""
    return machine.run(["docker", *argv], timeout=timeout, **({"env": env} if env else {}))


def containers(machine: Machine, names: Sequence[str]) -> dict[str, Container]:
    """Return the containers with one of these names.

    Raises `AgentError` with the code ``unreadable`` if Docker does not answer.
    """
    found = map(_container, inspected(machine, "container", _FORMAT, names))
    return {one.name: one for one in found}


def inspected(machine: Machine, kind: str, template: str, names: Sequence[str]) -> list[Json]:
    """Return the containers or networks that exist of these, each as the template writes it.

    Raises `AgentError` with the code ``unreadable`` if Docker does not answer.
    """
    if not names:
        return []
    done = docker(machine, kind, "inspect", "--format", template, *names)
    # Docker 20.10 says "Error: No such container". Later ones say "Error response from daemon: No such
    # container". Of a network they say "network NAME not found".
    others = [
        line
        for line in done.err.splitlines()
        if line and "No such " not in line and not line.endswith(" not found")
    ]
    if done.code and others:
        raise AgentError("unreadable", "Docker does not answer on the host", detail="\n".join(others[-5:]))
    return [json.loads(line) for line in done.out.splitlines() if line.strip()]


def published(machine: Machine) -> set[int]:
    """Return every port that a container publishes, running or not. Raises `AgentError`."""
    done = docker(machine, "container", "ls", "-aq")
    if done.code:
        raise AgentError("unreadable", "Docker does not answer on the host", detail=done.text)
    return {port for one in containers(machine, done.out.split()).values() for port in one.ports}


def last_words(machine: Machine, name: str) -> str:
    """Return the end of a container's log, for messages."""
    try:
        done = docker(machine, "logs", "--tail", str(_LINES), name)
    except AgentError as error:
        return f"(its log cannot be read: {error.message})"
    return _capped(done.text)


def _container(found: Json) -> Container:
    bindings = (found["ports"] or {}).values()
    ports = [str(bound.get("HostPort") or "") for bound_to in bindings for bound in bound_to or ()]
    return Container(
        id=str(found["id"]),
        name=str(found["name"]).lstrip("/"),
        state=found["state"],
        restarts=int(found["restarts"] or 0),
        pids=max(int(found["pids"] or 0), 0),
        cpus=int(found["cpus"] or 0),
        ports=tuple(int(port) for port in ports if port.isdecimal()),
        networks={
            name: tuple(map(str, (joined or {}).get("Aliases") or ()))
            for name, joined in sorted((found["networks"] or {}).items())
        },
    )


def _capped(text: str) -> str:
    lines = [line[:_COLUMNS] for line in text.strip().splitlines()]
    return "\n".join(lines[-_LINES:])
