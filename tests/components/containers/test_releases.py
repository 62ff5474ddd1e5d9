from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components.containers.on_host import releases
from tests.components.containers.fake_docker import FakeDocker
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portcullis.agent.machine import Machine

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue\n"


@dataclass
class Releases:
    """A client for the releases of an app."""

    client: Client
    docker: FakeDocker
    net: Path
    tokens: list[int] = field(default_factory=list)

    def next(self, app: str = "api", *, after: int = 0, published: bool = True) -> tuple[int, int]:
        self.tokens.append(0)
        token = str(len(self.tokens))
        desired = {"app": app, "published": published, "cpus": "1", "token": token, "after": after}
        facts = self.client.on("put", "containers.releases", app, desired)["facts"]
        return facts["number"], facts["port"]

    def container(self, app: str = "api", cpus: str = "1") -> Any:
        spec = {"app": app, "published": True, "cpus": cpus}
        return self.client.look("containers.releases", app, spec).get("container")

    def listen(self, *ports: int, name: str = "tcp", state: str = "0A") -> None:
        lines = [f"   0: 010011AC:{port:04X} 00000000:0000 {state} 0 0\n" for port in ports]
        (self.net / name).write_text(HEAD + "".join(lines))


@pytest.fixture
def app(machine: Machine, tmp_path: Path) -> Iterator[Releases]:
    docker = FakeDocker()
    net = tmp_path / "proc/net"
    net.mkdir(parents=True)
    client = Client(dataclasses.replace(machine, run=docker, proc_sys=tmp_path / "proc/sys"))
    yield Releases(client, docker, net)
    client.close()


def test_each_release_has_a_number_and_a_port_of_its_own(app: Releases) -> None:
    assert [app.next(), app.next(), app.next()] == [(1, 28000), (2, 28001), (3, 28002)]


def test_the_same_request_twice_is_one_release(app: Releases) -> None:
    desired = {"app": "api", "published": True, "cpus": "1", "token": "t", "after": 0}
    first = app.client.on("put", "containers.releases", "api", desired)
    again = app.client.on("put", "containers.releases", "api", desired)
    assert first["facts"]["number"] == again["facts"]["number"] == 1
    assert again["steps"] == []


def test_two_apps_never_get_the_same_port(app: Releases) -> None:
    app.client.owner = "urn:pulumi:prod::web::a:b:Release::one"
    assert app.next("one") == (1, 28000)
    app.client.owner = "urn:pulumi:prod::web::a:b:Release::two"
    assert app.next("two") == (1, 28001)
    app.client.owner = "urn:pulumi:prod::web::a:b:Release::one"
    assert app.next("one") == (2, 28002)


def test_a_port_in_use_is_not_given(app: Releases) -> None:
    app.listen(28000)
    app.listen(28001, name="tcp6")
    app.docker.add("other", port=28002)
    app.docker.add("stopped", port=28003, status="exited")
    assert app.next() == (1, 28004)


def test_an_open_connection_is_no_listener(app: Releases) -> None:
    app.listen(28000, state="01")
    assert app.next() == (1, 28000)


def test_after_the_last_port_the_first_ones_are_given_again(
    app: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "PORTS", releases.PORTS[:3])
    app.docker.add("serving", port=28001)
    assert [app.next()[1] for _ in range(4)] == [28000, 28002, 28000, 28002]
    app.docker.add("a", port=28000)
    app.docker.add("b", port=28002)
    desired = {"app": "api", "published": True, "cpus": "1", "token": "x", "after": 0}
    error = app.client.refused("put", "containers.releases", "api", desired)
    assert (error.code, error.prop) == ("no-port", "port")


def test_a_host_that_lost_its_records_gives_no_number_twice(app: Releases) -> None:
    assert app.next(after=6) == (7, 28000)


def test_an_app_without_a_published_port_has_a_number_only(app: Releases) -> None:
    app.docker.down = True
    assert app.next(published=False) == (1, 0)


def test_the_record_holds_no_definition_of_the_release(app: Releases) -> None:
    app.next()
    (record,) = app.client.machine.state.rglob("record.json")
    kept = json.loads(record.read_text())
    assert kept["extra"] == {"number": 1, "port": 28000, "token": "1"}
    assert kept["spec"] == {"app": "api", "published": True, "cpus": "1", "numbered": False}


@pytest.mark.parametrize(
    ("fake", "said"),
    [
        ({}, "running"),
        ({"health": "unhealthy"}, "running"),
        ({"status": "restarting"}, "running"),
        ({"status": "exited", "code": 137}, "exited 137"),
        ({"cpus": 2 * 10**9}, "running with 2 CPUs"),
    ],
)
def test_a_fault_of_the_container_that_only_a_new_release_can_fix_is_drift(
    app: Releases, fake: dict[str, Any], said: str
) -> None:
    app.next()
    assert app.container() == "absent"
    app.docker.add("api-1", **fake)
    assert app.container() == said


@pytest.mark.parametrize(("cpus", "number"), [("1.0", 1), ("0.5", 0.5), ("10.", 10)])
def test_a_limit_matches_in_the_spelling_of_dockers_provider(app: Releases, cpus: str, number: float) -> None:
    app.next()
    app.docker.add("api-1", cpus=int(number * 10**9))
    assert app.container(cpus=cpus) == "running"


def test_before_the_first_release_there_is_nothing(app: Releases) -> None:
    assert app.client.look("containers.releases", "api", {"app": "api", "published": True, "cpus": "1"}) == {
        "exists": False
    }


def test_a_silent_docker_is_an_error_and_not_drift(app: Releases) -> None:
    app.next()
    app.docker.down = True
    items = [
        {"kind": "containers.releases", "id": "api", "spec": {"app": "api", "published": True, "cpus": "1"}}
    ]
    (found,) = app.client.ask("survey", items=items, index=False)["items"]
    assert found["error"]["code"] == "unreadable"


def test_delete_forgets_the_numbers(app: Releases) -> None:
    app.next()
    desired = {"app": "api", "published": True, "cpus": "1", "token": "", "after": 0}
    assert app.client.on("remove", "containers.releases", "api", desired)["done"] == "removed"
    assert app.next() == (1, 28000)
