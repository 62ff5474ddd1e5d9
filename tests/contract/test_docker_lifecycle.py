"""Tests the docker stand-in on a real Docker engine, beyond the recorded calls."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.images import hello
from tests.contract.conftest import mini
from tests.contract.plugin_process import PluginProcess, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host, Lab

pytestmark = pytest.mark.e2e

Json = dict[str, Any]
TYPES = {
    "container": "docker:index/container:Container",
    "network": "docker:index/network:Network",
    "volume": "docker:index/volume:Volume",
    "image": "docker:index/remoteImage:RemoteImage",
}


@dataclass
class Made:
    """A resource in the form that the engine stores."""

    type: str
    name: str
    inputs: Json
    id: str
    state: Json


@dataclass
class Docker:
    """Creates, reads, changes and deletes resources like the engine."""

    plugin: PluginProcess
    host: Host
    image: str

    def _about(self, type_: str, name: str, **more: Any) -> Json:
        token = TYPES[type_]
        return {"urn": f"urn:pulumi:dev::web::{token}::{name}", "type": token, "name": name, **more}

    def ask(self, method: str, type_: str, name: str, **more: Any) -> Json:
        answer = self.plugin.call(method, self._about(type_, name, **more))
        assert not isinstance(answer, Refusal), answer.message
        return answer

    def check(self, type_: str, name: str, news: Json) -> Json:
        answer = self.ask("Check", type_, name, news={"name": name, **news})
        assert "failures" not in answer, answer
        return dict(answer["inputs"])

    def create(self, type_: str, name: str, news: Json) -> Made:
        inputs = self.check(type_, name, news)
        answer = self.ask("Create", type_, name, properties=inputs)
        return Made(type_, name, inputs, answer["id"], answer["properties"])

    def refused(self, type_: str, name: str, news: Json) -> Refusal:
        answer = self.plugin.call(
            "Create", self._about(type_, name, properties=self.check(type_, name, news))
        )
        assert isinstance(answer, Refusal), answer
        return answer

    def read(self, made: Made) -> Json:
        """Read a resource and store the answer in `made`."""
        answer = self.ask("Read", made.type, made.name, id=made.id, properties=made.state, inputs=made.inputs)
        if answer:
            made.state, made.inputs = answer["properties"], answer["inputs"]
        return answer

    def diff(self, made: Made, news: Json) -> Json:
        return self.ask(
            "Diff", made.type, made.name, id=made.id, olds=made.state, news=news, oldInputs=made.inputs
        )

    def update(self, made: Made, news: Json) -> None:
        made.state = self.ask("Update", made.type, made.name, id=made.id, olds=made.state, news=news)[
            "properties"
        ]
        made.inputs = news

    def delete(self, made: Made) -> None:
        self.ask("Delete", made.type, made.name, id=made.id, properties=made.state)

    def inspect(self, made: Made) -> Json:
        return dict(json.loads(self.host.run(["docker", "inspect", made.id]).stdout)[0])


@pytest.fixture(scope="module")
def docker(docker_host: Host, project: Path, lab: Lab) -> Iterator[Docker]:
    plugin = PluginProcess("docker", project)
    plugin.call("Configure", {"args": {"host": "ssh://web1", "sshOpts": '["-F","ssh_config"]'}})
    yield Docker(plugin, docker_host, lab.push(mini("1")).tagged)
    plugin.close()


def everything(docker: Docker) -> Json:
    """Return inputs of a container with all properties that the project sets, and with some others."""
    return {
        "image": docker.image,
        "command": ["python3", "-m", "http.server", "8080"],
        "user": "1000:1000",
        "readOnly": True,
        "capabilities": {"drops": ["ALL"], "adds": ["CAP_NET_BIND_SERVICE"]},
        "securityOpts": ["no-new-privileges:true"],
        "memory": 64,
        "memorySwap": 64,
        "memoryReservation": 32,
        "cpus": "1.5",
        "cpuShares": 512,
        "init": True,
        "restart": "unless-stopped",
        "envs": ["B=2", "A=1"],
        "labels": [{"label": "z", "value": "1"}, {"label": "a", "value": "2"}],
        "hosts": [{"host": "api.example", "ip": "172.17.0.1"}],
        "ulimits": [{"name": "nofile", "soft": 1024, "hard": 2048}],
        "ports": [{"internal": 8080, "external": 2020, "ip": "172.17.0.1"}],
        "tmpfs": {"/run": "rw,noexec,size=8m"},
        "sysctls": {"net.core.somaxconn": "512"},
        "shmSize": 32,
        "networksAdvanced": [{"name": "lifecycle", "aliases": ["www"], "ipv4Address": "172.31.9.7"}],
        "mounts": [
            {"type": "volume", "source": "lifecycle", "target": "/data", "volumeOptions": {"noCopy": True}},
            {"type": "tmpfs", "target": "/scratch", "tmpfsOptions": {"sizeBytes": 1048576, "mode": 0o1777}},
            {
                "type": "bind",
                "source": "/etc/hostname",
                "target": "/run/name",
                "readOnly": True,
                "bindOptions": {"propagation": "rprivate"},
            },
        ],
        "volumes": [{"hostPath": "/etc/os-release", "containerPath": "/os", "readOnly": True}],
        "logDriver": "local",
        "logOpts": {"max-size": "10m"},
        "stopTimeout": 3,
        "stopSignal": "SIGINT",
        "dns": ["172.17.0.1"],
        "groupAdds": ["33"],
        "workingDir": "/data",
        "hostname": "www",
        "healthcheck": {"tests": ["CMD", "python3", "-c", "1"], "interval": "90s", "startPeriod": "1m30s"},
    }


def test_what_is_set_stands_and_reads_back_without_a_difference(docker: Docker) -> None:
    network = docker.create(
        "network",
        "lifecycle",
        {
            "ipamConfigs": [{"subnet": "172.31.9.0/24", "gateway": "172.31.9.1"}],
            "labels": [{"label": "x", "value": "y"}],
        },
    )
    volume = docker.create("volume", "lifecycle", {"driverOpts": {"type": "tmpfs", "device": "tmpfs"}})
    container = docker.create("container", "everything", everything(docker))
    found = docker.inspect(container)
    assert found["State"]["Running"]
    assert found["HostConfig"]["NanoCpus"] == 1_500_000_000
    assert found["HostConfig"]["Memory"] == found["HostConfig"]["MemorySwap"] == 64 * 1024 * 1024
    assert found["NetworkSettings"]["Networks"]["lifecycle"]["IPAddress"] == "172.31.9.7"
    assert set(found["NetworkSettings"]["Networks"]) == {"lifecycle"}
    assert found["Config"]["Healthcheck"]["StartPeriod"] == 90 * 10**9
    for made in (network, volume, container):
        inputs = made.inputs
        # Go writes 90s as 1m30s, and the official plugin also shows this as a difference.
        if made is container:
            inputs = {**inputs, "healthcheck": {**inputs["healthcheck"], "interval": "1m30s"}}
        for _ in range(2):
            docker.read(made)
            assert made.inputs == inputs
            assert docker.diff(made, inputs)["changes"] == "DIFF_NONE"
    for made in (container, volume, network):
        docker.delete(made)
        assert docker.read(made) == {}
        docker.delete(made)  # the deletion of a missing thing is no error


def test_an_edit_by_hand_shows_as_that_difference_alone(docker: Docker) -> None:
    made = docker.create("container", "edited", {"image": docker.image, "memory": 64, "memorySwap": 64})
    wanted = made.inputs
    docker.host.run(
        ["docker", "update", "--restart", "always", "--memory", "96m", "--memory-swap", "96m", "edited"]
    )
    docker.read(made)
    assert (made.inputs["restart"], made.inputs["memory"]) == ("always", 96)
    assert "restart" not in made.inputs["__defaults"]
    answer = docker.diff(made, wanted)
    assert {path: kind["kind"] for path, kind in answer["detailedDiff"].items()} == {
        "memory": "UPDATE",
        "memorySwap": "UPDATE",
        "restart": "UPDATE",
    }
    assert "replaces" not in answer
    docker.update(made, wanted)
    policy = docker.inspect(made)["HostConfig"]
    assert (policy["RestartPolicy"]["Name"], policy["Memory"]) == ("no", 64 * 1024 * 1024)
    docker.delete(made)


def test_a_limit_of_cpus_in_another_spelling_replaces_the_container(docker: Docker) -> None:
    made = docker.create("container", "limited", {"image": docker.image, "cpus": "1"})
    wanted = made.inputs
    docker.read(made)
    assert made.inputs["cpus"] == "1.0"
    assert docker.diff(made, wanted)["replaces"] == ["cpus"]
    assert docker.diff(made, {**wanted, "cpus": "1.0"})["changes"] == "DIFF_NONE"
    docker.delete(made)


def test_the_image_fills_in_the_times_of_a_health_check_and_they_read_back(docker: Docker, lab: Lab) -> None:
    image = lab.push(hello()).tagged
    made = docker.create("container", "checked", {"image": image, "healthcheck": {"tests": ["NONE"]}})
    wanted = made.inputs
    docker.read(made)
    assert docker.diff(made, wanted)["diffs"] == ["healthcheck"]
    assert (made.inputs["healthcheck"]["interval"], made.inputs["healthcheck"]["retries"]) == ("5s", 3)
    docker.delete(made)
    said = {"tests": ["NONE"], "interval": "1m30s", "timeout": "4s", "startPeriod": "1s", "retries": 2}
    made = docker.create("container", "checked", {"image": image, "healthcheck": said})
    wanted = made.inputs
    docker.read(made)
    assert docker.diff(made, wanted)["changes"] == "DIFF_NONE"
    docker.delete(made)


def test_a_changed_mount_is_reported_as_an_update_and_nothing_changes(docker: Docker) -> None:
    """The official plugin does the same. To move a mount, the program must ask for a replacement."""
    bind = {"type": "bind", "source": "/etc/hostname", "target": "/a", "readOnly": True}
    made = docker.create("container", "mounted", {"image": docker.image, "mounts": [bind]})
    elsewhere = {**bind, "target": "/b"}
    other = docker.check("container", "mounted", {"image": docker.image, "mounts": [elsewhere]})
    answer = docker.diff(made, other)
    assert (answer["diffs"], answer.get("replaces")) == (["mounts"], None)
    docker.update(made, other)
    assert docker.inspect(made)["HostConfig"]["Mounts"][0]["Target"] == "/a"
    more = docker.check("container", "mounted", {"image": docker.image, "mounts": [bind, elsewhere]})
    assert docker.diff(made, more)["replaces"] == ["mounts"]
    docker.delete(made)


def test_a_stopped_container_reads_as_drift_and_an_update_starts_it(docker: Docker) -> None:
    made = docker.create("container", "stopped", {"image": docker.image})
    wanted = made.inputs
    docker.host.run(["docker", "kill", "stopped"])
    docker.read(made)
    assert (made.state["mustRun"], made.state["exitCode"]) == (False, 137)
    assert docker.diff(made, wanted)["diffs"] == ["mustRun"]
    docker.update(made, wanted)
    assert docker.inspect(made)["State"]["Running"]
    docker.delete(made)


def test_waiting_without_a_health_check_fails_and_leaves_a_record(docker: Docker) -> None:
    refusal = docker.refused("container", "unwell", {"image": docker.image, "wait": True})
    assert "does not have a healthcheck defined" in refusal.message
    assert refusal.made is not None
    docker.delete(Made("container", "unwell", {}, refusal.made["id"], refusal.made["properties"]))
    assert docker.host.run(["docker", "ps", "-aq", "--filter", "name=unwell"]).stdout == ""


def test_an_image_goes_from_the_host_unless_it_is_kept(docker: Docker, lab: Lab) -> None:
    name = lab.push(mini("third")).tagged
    made = docker.create("image", "third", {"name": name})
    docker.delete(made)
    assert docker.read(made) == {}
    kept = docker.create("image", "third", {"name": name, "keepLocally": True})
    docker.delete(kept)
    assert docker.read(kept)["id"] == kept.id


def test_a_replaced_network_goes_first_when_it_has_a_name_of_its_own(docker: Docker) -> None:
    made = docker.create("network", "named", {"internal": True})
    answer = docker.diff(made, {**made.inputs, "internal": False})
    assert answer["replaces"] == ["internal"]
    assert answer["deleteBeforeReplace"]
    docker.delete(made)


def test_calls_share_one_connection_that_ends_with_the_plugin(docker_host: Host, project: Path) -> None:
    assert docker_host
    plugin = PluginProcess("docker", project)
    plugin.call("Configure", {"args": {"host": "ssh://web1", "sshOpts": '["-F","ssh_config"]'}})
    for number in range(5):
        gone = {"id": str(number) * 64, "properties": {"driver": "bridge", "name": "gone"}}
        assert plugin.call("Read", {"urn": f"urn:pulumi:dev::web::{TYPES['network']}::gone", **gone}) == {}
    children = _children(plugin.process.pid)
    assert len(children) == 1
    plugin.close()
    assert not Path(f"/proc/{children[0]}").exists()


def _children(pid: int) -> list[int]:
    """Return the child processes of all threads of a process."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(word) for task in tasks for word in (task / "children").read_text(encoding="ascii").split()]
