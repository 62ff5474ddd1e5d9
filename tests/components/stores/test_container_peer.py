"""Tests at which address the agent logs in to a store. Docker and the kernel's files are fakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.agent.errors import AgentError
from portcullis.components.stores.on_host import container_peer
from portcullis.components.stores.on_host.container_peer import Peer
from tests.components.containers import docker_engine
from tests.components.exposure.test_exposure import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portcullis.agent.machine import Machine

PUBLISHED = "172.17.0.1:6380"
OWN = ("172.20.0.2", "172.20.0.1")
# 172.17.0.1 as the kernel prints it, the same address of an IPv6 socket, and an address of another bridge.
DOCKER0, MAPPED, ELSEWHERE = "010011AC", "0000000000000000FFFF0000010011AC", "010014AC"
ANY, ANY6 = "00000000", "0" * 32


@pytest.fixture
def world(machine: Machine, tmp_path: Path) -> Iterator[World]:
    with docker_engine.listening(tmp_path / "docker.sock") as docker:
        yield World(machine, tmp_path, docker)


def redis(
    world: World, state: str = "running", published: str = PUBLISHED, network: str = "redis", **more: str
) -> None:
    addresses = (more.get("address", OWN[0]), more.get("gateway", OWN[1]))
    made = world.docker.run(
        "redis", f"{published}/tcp", state=state, networks=("bridge", network), addresses=addresses
    )
    made["bindings"] = {"6379/tcp": made["bindings"]["0/tcp"], "6381/tcp": None}
    made["NetworkSettings"]["Networks"]["bridge"] = {"IPAddress": "172.17.0.9", "Gateway": "172.17.0.1"}


def find(world: World) -> Peer | None:
    return container_peer.find(world.machine, "redis", PUBLISHED)


def refused(world: World) -> AgentError:
    with pytest.raises(AgentError) as caught:
        find(world)
    return caught.value


def test_the_agent_uses_the_containers_own_address_on_its_own_network(world: World) -> None:
    redis(world)
    assert find(world) == Peer("172.20.0.2:6379", source="172.20.0.1")
    # A program that listens on the published port does not matter.
    world.listen("tcp", DOCKER0, 6380, 311, name="nc", uid=40000)
    assert find(world) == Peer("172.20.0.2:6379", source="172.20.0.1")


@pytest.mark.parametrize(
    "made",
    [
        {"state": "exited"},
        {"state": "created"},
        {"network": "other"},
        {"address": ""},
        {"gateway": ""},
        # Another container of that name, which does not publish the declared port.
        {"published": "172.17.0.1:7000"},
    ],
    ids=str,
)
def test_a_container_that_is_not_as_declared_has_no_address(world: World, made: dict[str, str]) -> None:
    redis(world, **made)
    assert find(world) is None
    world.listen("tcp", DOCKER0, 6380, 311, name="nc", uid=40000)
    assert refused(world).code == "impostor"


def test_without_docker_or_the_container_there_is_no_address(world: World, tmp_path: Path) -> None:
    assert find(world) is None
    world.docker.broken = True
    assert refused(world).message == "Docker cannot describe the container redis: it is on fire"
    (tmp_path / "docker.sock").unlink()
    assert find(world) is None


def test_an_invalid_name_is_refused_without_asking_docker(world: World) -> None:
    for name in ("../containers", "a/json?x=", "", "-x"):
        with pytest.raises(AgentError, match="is not the name of a container"):
            container_peer.find(world.machine, name, PUBLISHED)


@pytest.mark.parametrize(
    ("table", "address"), [("tcp", DOCKER0), ("tcp", ANY), ("tcp6", ANY6), ("tcp6", MAPPED)]
)
def test_an_impostor_is_named(world: World, table: str, address: str) -> None:
    redis(world, "exited")
    world.listen(table, address, 6380, 311, name="docker-proxy", uid=40000)
    error = refused(world)
    assert error.message == (
        'process "docker-proxy" of 40000 (uid 40000, pid 311) listens at 172.17.0.1:6380 in place of the '
        "container redis, which does not run; Portcullis sent nothing to it, and no password"
    )
    assert error.hint.startswith("`ps -fp 311` shows the program; stop it, then `docker start redis`")
    world.group(311, "0::/system.slice/backdoor.service\n")
    assert "of 40000 in backdoor.service (uid 40000, pid 311) listens" in refused(world).message


def test_the_name_that_an_impostor_chose_is_quoted(world: World) -> None:
    redis(world, "exited")
    world.listen("tcp", DOCKER0, 6380, 311, name="a; rm -rf ..", uid=40000)
    assert refused(world).message.startswith('process "a; rm -rf .." of 40000 (uid 40000, pid 311) listens')


def test_a_socket_without_a_process_is_an_impostor_too(world: World) -> None:
    redis(world, "exited")
    world.listen("tcp", DOCKER0, 6380)
    assert refused(world).message.startswith("an unknown program listens at 172.17.0.1:6380")
    assert "ss -ltnp" in refused(world).hint


@pytest.mark.parametrize(
    ("table", "address", "port"),
    [("tcp", ELSEWHERE, 6380), ("tcp", DOCKER0, 6379), ("udp", DOCKER0, 6380), ("tcp6", "1" * 32, 6380)],
)
def test_a_program_that_listens_elsewhere_is_no_impostor(
    world: World, table: str, address: str, port: int
) -> None:
    redis(world, "exited")
    world.listen(table, address, port, 311, name="nc", uid=40000)
    assert find(world) is None


def test_dockers_own_listener_is_no_impostor(world: World) -> None:
    redis(world, "exited")
    world.listen("tcp", DOCKER0, 6380, 311, name="docker-proxy", unit="docker.service")
    assert find(world) is None
