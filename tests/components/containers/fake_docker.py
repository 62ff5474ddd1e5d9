"""A fake `docker` command: a test sets its containers and their health, and reads the calls."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portcullis.agent.run import Done

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Json = dict[str, Any]


@dataclass
class Fake:
    """One container. Each call to `answer` applies the next entry of `after` first."""

    name: str
    status: str = "running"
    health: str = "healthy"
    code: int = 0
    pids: int | None = None
    cpus: int = 10**9
    restarts: int = 0
    port: int | None = None
    said: str = ""
    log: str = ""
    oom: bool = False
    refusals: int = 0
    networks: list[str] = field(default_factory=lambda: ["api"])
    aliases: dict[str, str] = field(default_factory=dict)
    grace: int | None = None
    after: list[dict[str, Any]] = field(default_factory=list)

    def limit(self, pids: int) -> Done:
        self.refusals -= 1
        if self.refusals >= 0:
            return Done(1, "", "Error response from daemon: cannot update a stopped container: unknown")
        self.pids = pids
        return Done(0, "", "")

    def answer(self) -> Json:
        for key, value in (self.after.pop(0) if self.after else {}).items():
            setattr(self, key, value)
        state: Json = {
            "Status": self.status, "Running": self.status in ("running", "restarting"),
            "ExitCode": self.code, "OOMKilled": self.oom, "Error": "",
        }  # fmt: skip
        if self.health:
            state["Health"] = {"Status": self.health, "Log": [{"Output": self.said}] if self.said else []}
        bound = [{"HostIp": "172.17.0.1", "HostPort": str(self.port)}]
        return {
            "id": f"id-{self.name}", "name": f"/{self.name}", "state": state, "restarts": self.restarts,
            "pids": self.pids, "cpus": self.cpus, "ports": {"80/tcp": bound} if self.port else {},
            "grace": self.grace,
            "networks": {name: {"Aliases": [self.aliases[name]] if name in self.aliases else None}
                         for name in self.networks},
        }  # fmt: skip


class FakeDocker:
    """A fake for `machine.run` that answers calls of the `docker` command."""

    def __init__(self) -> None:
        self.containers: dict[str, Fake] = {}
        self.networks: dict[str, Json] = {}
        self.ran: list[list[str]] = []
        self.on_call: Callable[[list[str]], None] = lambda _words: None
        self.down = False
        self.on_start: Callable[[Fake], None] = lambda fake: setattr(fake, "status", "running")

    def add(self, name: str, **more: Any) -> Fake:
        self.containers[name] = Fake(name, **more)
        return self.containers[name]

    def __call__(self, argv: Sequence[str], **_: Any) -> Done:
        program, *words = argv
        assert program == "docker", argv
        self.ran.append(words)
        self.on_call(words)
        if self.down:
            return Done(1, "", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
        if words[:2] == ["container", "ls"]:
            return Done(0, "".join(f"{name}\n" for name in self.containers), "")
        if words[:2] == ["container", "inspect"]:
            return self._inspect(words[4:])
        if words[:2] == ["network", "inspect"]:
            return self._inspect_networks(words[4:])
        if words[0] == "logs":
            return Done(0, self.containers[words[-1]].log, "")
        return self._change(words)

    def _inspect(self, names: list[str]) -> Done:
        names = [name.removeprefix("id-") for name in names]
        found = [json.dumps(self.containers[name].answer()) for name in names if name in self.containers]
        missing = [f"Error: No such container: {name}" for name in names if name not in self.containers]
        return Done(1 if missing else 0, "".join(f"{line}\n" for line in found), "\n".join(missing))

    def _inspect_networks(self, names: list[str]) -> Done:
        found = [
            json.dumps({**self.networks[name], "name": name, "members": self.members(name)})
            for name in names
            if name in self.networks
        ]
        missing = [
            f"Error response from daemon: network {name} not found"
            for name in names
            if name not in self.networks
        ]
        return Done(1 if missing else 0, "".join(f"{line}\n" for line in found), "\n".join(missing))

    def members(self, network: str) -> dict[str, Json]:
        """Return the containers that run in a network, by id."""
        return {
            f"id-{one.name}": {"Name": one.name} for one in self.containers.values()
            if network in one.networks and one.status == "running"
        }  # fmt: skip

    def _change(self, words: list[str]) -> Done:
        if words[:2] == ["network", "create"]:
            self.networks[words[-1]] = {"driver": "bridge", "internal": "--internal" in words}
            return Done(0, "", "")
        if words[:2] == ["network", "rm"]:
            if self.members(words[-1]):
                return Done(1, "", "Error response from daemon: network has active endpoints")
            del self.networks[words[-1]]
            return Done(0, "", "")
        fake = self.containers.get(words[-1].removeprefix("id-"))
        if fake is None:
            return Done(1, "", "Error response from daemon: No such container: x")
        if words[0] == "update":
            return fake.limit(int(words[2]))
        if words[:2] == ["network", "connect"]:
            fake.networks.append(words[-2])
            fake.aliases[words[-2]] = words[words.index("--alias") + 1]
        elif words[:2] == ["network", "disconnect"]:
            fake.networks.remove(words[-2])
        elif words[0] == "start":
            self.on_start(fake)
        elif words[:2] == ["container", "rm"]:
            del self.containers[fake.name]
        else:
            raise AssertionError(words)
        return Done(0, "", "")

    def did(self, verb: str) -> list[list[str]]:
        return [words for words in self.ran if verb in words[:2]]
