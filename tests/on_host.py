"""A host in a temporary folder, and a client that calls the agent's operations without a connection."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.errors import AgentError
from portcullis.agent.machine import Machine
from portcullis.agent.operations import Operations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Json = dict[str, Any]

STACK = "web/prod"
URN = "urn:pulumi:prod::web::portcullis:index:File::motd"
OTHER_URN = "urn:pulumi:prod::web::portcullis:index:File::greeting"
WHO = "alice@laptop (pid 7)"


@dataclass
class Client:
    """One deployment, which sends to the agent the same requests as a provider does.

    `again` starts the next deployment.
    """

    machine: Machine
    stack: str = STACK
    owner: str = URN
    opened: list[Operations] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.close()
        self.operations = Operations(self.machine)
        self.opened.append(self.operations)

    def again(self, **changes: Any) -> Client:
        return dataclasses.replace(self, **changes)

    def close(self) -> None:
        while self.opened:
            self.opened.pop().close()

    def ask(self, op: str, **arguments: Any) -> Json:
        return self.operations.do({"id": 1, "op": op, "stack": self.stack, "who": WHO, **arguments})

    def on(self, op: str, kind: str, item: str, desired: Json, **more: Any) -> Json:
        arguments = {"owner": self.owner, "adopt": False, **more}
        return self.ask(op, kind=kind, item=item, desired=desired, **arguments)

    def refused(self, op: str, kind: str, item: str, desired: Json, **more: Any) -> AgentError:
        with pytest.raises(AgentError) as caught:
            self.on(op, kind, item, desired, **more)
        return caught.value

    def look(self, kind: str, item: str, spec: Json) -> Json:
        (found,) = self.ask("survey", items=[{"kind": kind, "id": item, "spec": spec}], index=False)["items"]
        facts: Json = found["facts"]
        return facts


@dataclass
class FileClient:
    """A client that manages one file on the host."""

    client: Client
    path: Path

    def desired(self, content: str = "new\n", **more: Any) -> Json:
        return {
            "path": str(self.path), "content": content, "owner": "root", "group": "root", "mode": "0644",
            "on_delete": "restore", **more,
        }  # fmt: skip

    def put(self, content: str = "new\n", *, adopt: bool = False, **more: Any) -> Json:
        return self.client.on("put", "file", str(self.path), self.desired(content, **more), adopt=adopt)

    def refused(self, content: str = "new\n", *, adopt: bool = False, **more: Any) -> AgentError:
        desired = self.desired(content, **more)
        return self.client.refused("put", "file", str(self.path), desired, adopt=adopt)

    def remove(self, **more: Any) -> str:
        done: str = self.client.on("remove", "file", str(self.path), self.desired(**more))["done"]
        return done

    def facts(self) -> Json:
        return self.client.look("file", str(self.path), {"path": str(self.path)})

    def again(self, **changes: Any) -> FileClient:
        return FileClient(self.client.again(**changes), self.path)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _fd: None)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    dpkg = tmp_path / "dpkg"
    (dpkg / "info").mkdir(parents=True)
    (dpkg / "status").write_text("")
    (dpkg / "info" / "format").write_text("1\n")
    return Machine(
        root=tmp_path,
        state=tmp_path / "state",
        lock=tmp_path / "run" / "deploy.lock",
        dpkg=dpkg,
        ucf=tmp_path / "ucf",
        lists=tmp_path / "lists",
        policy=tmp_path / "policy-rc.d",
        settle=0.04,
        apt_lock_wait=0.3,
    )


@pytest.fixture
def client(machine: Machine) -> Iterator[Client]:
    made = Client(machine)
    yield made
    made.close()


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    return folder


@pytest.fixture
def motd(client: Client, etc: Path) -> FileClient:
    return FileClient(client, etc / "motd")


@pytest.fixture
def leftovers(tmp_path: Path) -> Callable[[], list[str]]:
    """Return a function that lists all temporary files of Portcullis on the host."""

    def find() -> list[str]:
        return sorted(
            str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if ".portcullis-" in path.name
        )

    return find
