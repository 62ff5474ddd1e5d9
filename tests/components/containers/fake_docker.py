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
    networks: list[str] = field(default_factory=lambda: ["api"])
    after: list[dict[str, Any]] = field(default_factory=list)

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
            "networks": {name: {} for name in self.networks},
        }  # fmt: skip


class FakeDocker:
    """A fake for `machine.run` that answers calls of the `docker` command."""

    def __init__(self) -> None:
        self.containers: dict[str, Fake] = {}
        self.ran: list[list[str]] = []
        self.down = False
        self.on_start: Callable[[Fake], None] = lambda fake: setattr(fake, "status", "running")

    def add(self, name: str, **more: Any) -> Fake:
        self.containers[name] = Fake(name, **more)
        return self.containers[name]

    def __call__(self, argv: Sequence[str], **_: Any) -> Done:
        program, *words = argv
        assert program == "docker", argv
        self.ran.append(words)
        if self.down:
            return Done(1, "", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
        if words[:2] == ["container", "ls"]:
            return Done(0, "".join(f"{name}\n" for name in self.containers), "")
        if words[:2] == ["container", "inspect"]:
            return self._inspect(words[4:])
        if words[0] == "logs":
            return Done(0, self.containers[words[-1]].log, "")
        return self._change(words)

    def _inspect(self, names: list[str]) -> Done:
        found = [json.dumps(self.containers[name].answer()) for name in names if name in self.containers]
        missing = [f"Error: No such container: {name}" for name in names if name not in self.containers]
        return Done(1 if missing else 0, "".join(f"{line}\n" for line in found), "\n".join(missing))

    def _change(self, words: list[str]) -> Done:
        fake = self.containers[words[-1]]
        if words[0] == "update":
            fake.pids = int(words[2])
        elif words[:2] == ["network", "connect"]:
            fake.networks.append(words[-2])
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
