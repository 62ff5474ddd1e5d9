"""A host with cgroup v1 makes the control groups of its containers on the machine. They go with the host."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from lab import hosts, network
from lab.state import HostRecord, State

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Engine:
    """The engine of the lab with one container, whose Docker has its data in a folder of this machine."""

    def __init__(self, docker: Path) -> None:
        self.docker = docker

    def inspect(self, container: str) -> dict[str, Any]:
        assert container == "container"
        volume = {"Type": "volume", "Source": str(self.docker), "Destination": "/var/lib/docker"}
        return {"Mounts": [{"Type": "bind", "Source": "/x", "Destination": "/y"}, volume]}

    def remove(self, container: str) -> None:
        assert container == "container"
        shutil.rmtree(self.docker)


def test_a_removed_host_leaves_no_control_group_of_its_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = tmp_path / "cgroup"
    monkeypatch.setattr(hosts, "_CGROUPS", groups)
    monkeypatch.setattr(network, "detach", lambda _: None)
    docker = tmp_path / "docker"
    for one in ("running", "ended", "busy"):
        (docker / "containers" / one).mkdir(parents=True)
    for path in ("cpu/docker/running", "pids/docker/running", "pids/docker/busy/x", "pids/docker/of-another"):
        (groups / path).mkdir(parents=True)
    state = State()
    state.hosts["web1"] = HostRecord("web1", "/checkout", "container", 1, "trixie", None)
    hosts.remove(state, Engine(docker), "web1")  # type: ignore[arg-type]
    left = {str(path.relative_to(groups)) for path in groups.glob("*/docker/*")}
    assert left == {"pids/docker/busy", "pids/docker/of-another"}
    assert not state.hosts
