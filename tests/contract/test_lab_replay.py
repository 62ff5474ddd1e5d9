"""Repeats, on the stand-ins, every call that official plugins got while stack lab was deployed and destroyed.

An answer without a host has no new values, so it must equal the official answer exactly. Docker's answers
must also be equal, because on a host with the same networks, Docker gives the same addresses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.images import Image
from portcullis.components.docker.render import daemon_json
from portcullis.dialect import DIALECTS
from tests.contract.compare import exact
from tests.contract.conftest import digest
from tests.contract.recorded import LAB_FILES, LAB_TOTAL, Call, calls
from tests.contract.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.pytest_lab import Host, Lab

# A server for each image, which ends with code 0 on SIGTERM, like the servers of the lab's images.
_SERVE = b"#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 0.2; done\n"
_ENTRYPOINT = {"entrypoint": ("docker-entrypoint.sh",), "files": {"bin/docker-entrypoint.sh": _SERVE}}
IMAGES = {
    "redis": Image("redis", ("redis-server",), tag="lab", workdir="/data", **_ENTRYPOINT),
    "mongo": Image("mongo", ("mongod",), tag="lab", **_ENTRYPOINT),
    "shop-api": Image(
        "shop-api", ("node", "src/main.js"), tag="lab", workdir="/app", files={"bin/node": _SERVE}
    ),
}
# The order in which the resources were made on that host, which determines their addresses.
_FIRST = (
    "redis-image", "mongo-image", "api-image", "redis-volume-redis-data", "mongo-volume-mongo-data",
    "mongo-network", "redis-shared", "mongo-shared", "redis-network", "api-network",
    "mongo-container", "redis-container", "api-container",
)  # fmt: skip
# The commands between the plugins' calls: changes by hand, and a restart of Docker.
_BY_HAND = {
    "lab-5-drift-preview": (["docker", "stop", "redis"], ["docker", "network", "connect", "bridge", "mongo"]),
    "lab-0-create": (["systemctl", "restart", "docker"],),
}


def name_of(call: Call) -> str:
    """Return the name of the call's resource."""
    return call.urn.rpartition("::")[2]


def test_no_call_is_left_out() -> None:
    assert sum(len(calls(file)) for file in LAB_FILES) == LAB_TOTAL
    assert sum(call.on_host for file in LAB_FILES for call in calls(file)) == 119


@pytest.mark.parametrize("file", LAB_FILES)
def test_without_a_host(file: str, tmp_path: Path) -> None:
    world = World(tmp_path, form=exact)
    here = [call for call in calls(file) if not call.on_host]
    wrong = [line for call in here for line in world.replay(call)]
    world.close()
    assert not wrong, "\n".join(wrong)
    assert len(world.compared) == len(here)


@pytest.fixture(scope="module")
def docker_host(docker_host: Host) -> Host:
    """Return a host with Docker, like the host of stack lab."""
    docker_host.write("/etc/docker/daemon.json", daemon_json(DIALECTS["debian-13"], "172.17.0.1/16"))
    docker_host.run(["systemctl", "restart", "docker"])
    mounted = {
        mount["source"]
        for call in calls("lab-0-create")
        for mount in call.request.get("properties", {}).get("mounts", [])
        if mount["type"] == "bind"
    }
    docker_host.run(["mkdir", "-p", *sorted(mounted)])
    return docker_host


@pytest.fixture
def lab_world(project: Path, docker_host: Host, lab: Lab) -> Iterator[World]:
    """The `World` in which the recorded calls of stack lab are replayed, with the lab's own images."""
    assert docker_host
    world = World(project, form=exact)
    created = {name_of(call): call for call in calls("lab-0-create") if call.method == "Create"}
    for app, image in (("redis", "redis"), ("mongo", "mongo"), ("api", "shop-api")):
        built, recorded = lab.push(IMAGES[image]), created[f"{app}-image"].response
        assert recorded is not None
        world.exchange(recorded["properties"]["imageId"], digest(built.config))
        world.exchange(recorded["properties"]["name"].rpartition("@")[2], built.digest)
    world.exchange("198.51.100.2:5000", lab.registry)
    world.exchange(".portcullis/lab/ssh_config", "ssh_config")
    yield world
    world.close()


@pytest.mark.e2e
def test_on_a_host(lab_world: World, docker_host: Host) -> None:
    """One test replays all files, because each file begins with the resources that the previous file left."""
    first = {name_of(call): call for call in calls(LAB_FILES[0]) if call.method == "Read"}
    wrong: list[str] = []
    for file in LAB_FILES:
        for command in _BY_HAND.get(file, ()):
            docker_host.run(command)
        for call in calls(file):
            if call.package != "docker":
                continue
            wrong += lab_world.replay(call)
            if call.method == "Configure" and file == LAB_FILES[0]:
                for name in _FIRST:
                    lab_world.create(first[name])
        assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("file", "diffs"),
    [
        # Recorded with version 5.1.1 of the docker plugin.
        ("02-same-refresh", 20),
        # Recorded with version 5.2.0: right after the stack was made, and after a change.
        ("lab-1-created-preview", 28),
        ("lab-4-same", 28),
    ],
)
def test_a_second_preview_is_empty(file: str, diffs: int, tmp_path: Path) -> None:
    """The stand-in gets the state that the official plugin wrote.

    Like the official plugin, it finds no difference.
    """
    asked = [call for call in calls(file) if call.method == "Diff" and call.package in ("docker", "tls")]
    assert len(asked) == diffs
    world = World(tmp_path, form=exact)
    for call in asked:
        assert call.response is not None
        assert call.response.get("changes", "DIFF_NONE") == "DIFF_NONE", str(call)
        assert world.replay(call) == []
    world.close()
