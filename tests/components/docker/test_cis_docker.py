"""Tests our checks of the CIS Docker Benchmark. Each passes on a good host, and finds only its own fault."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components.docker.render import daemon_json
from portcullis.dialect import DIALECTS
from tests.e2e.access import cis_docker
from tests.e2e.access.cis import ITEMS, Facts, FileFact
from tests.e2e.access.cis_daemon import PATHS
from tests.e2e.access.cis_docker import WAIVED, audit, unexplained

if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET = {"/run/docker.sock": FileFact("root", "docker", 0o660)}


def good() -> Facts:
    """Return the facts of a host without any finding, not even of a waived item."""
    daemon = json.loads(daemon_json(DIALECTS["debian-13"], "172.17.0.1/16"))
    extra = {"default-ulimits": {"nofile": 1}, "authorization-plugins": ["x"], "userland-proxy": False}
    return Facts(
        daemon=daemon | extra,
        info={
            "RegistryConfig": {"IndexConfigs": {"docker.io": {"Secure": True}}},
            "Driver": "overlay2",
            "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=userns"],
            "LoggingDriver": "syslog",
            "LiveRestoreEnabled": True,
            "ExperimentalBuild": False,
            "Swarm": {"LocalNodeState": "inactive"},
        },
        argv=["/usr/sbin/dockerd", "-H", "fd://"],
        bridge={"Options": {"com.docker.network.bridge.enable_icc": "false"}},
        files={path: FileFact("root", "root", 0o600) for path in PATHS} | SOCKET,
        containers=[
            {
                "Name": "/api",
                "AppArmorProfile": "docker-default",
                "Config": {"User": "65534:65534"},
                "State": {"Health": {"Status": "healthy"}},
                "Mounts": [{"Type": "bind", "Source": "/srv/api", "Destination": "/data"}],
                "NetworkSettings": {"Networks": {"api": {}}},
                "HostConfig": {
                    "CapAdd": None,
                    "CapDrop": ["ALL"],
                    "Privileged": False,
                    "NetworkMode": "api",
                    "Memory": 1,
                    "NanoCpus": 1,
                    "CpuShares": 0,
                    "CpuQuota": 0,
                    "ReadonlyRootfs": True,
                    "PortBindings": {"80/tcp": [{"HostIp": "172.17.0.1", "HostPort": "8080"}]},
                    "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5},
                    "PidMode": "",
                    "IpcMode": "private",
                    "UTSMode": "",
                    "UsernsMode": "",
                    "Devices": [],
                    "SecurityOpt": ["no-new-privileges:true"],
                    "CgroupParent": "",
                    "PidsLimit": 100,
                },
            }
        ],
    )


def daemon(**values: Any) -> Facts:
    return replace(good(), daemon={**good().daemon, **values})


def info(**values: Any) -> Facts:
    return replace(good(), info={**good().info, **values})


def file(path: str, owner: str = "root", group: str = "root", mode: int = 0o600) -> Facts:
    return replace(good(), files={**good().files, path: FileFact(owner, group, mode)})


def container(**values: Any) -> Facts:
    return changed(lambda facts: facts.update(values))


def host_config(**values: Any) -> Facts:
    return changed(lambda facts: facts["HostConfig"].update(values))


def changed(change: Callable[[dict[str, Any]], None]) -> Facts:
    facts = copy.deepcopy(dict(good().containers[0]))
    change(facts)
    return replace(good(), containers=[facts])


def bind(source: str, **more: str) -> Facts:
    return container(Mounts=[{"Type": "bind", "Source": source, "Destination": "/x", **more}])


def port(address: str, number: str) -> Facts:
    return host_config(PortBindings={"80/tcp": [{"HostIp": address, "HostPort": number}]})


BAD = {
    "2.2": [replace(good(), bridge={"Options": {}})],
    "2.3": [daemon(**{"log-level": "debug"})],
    "2.4": [daemon(iptables=False), replace(good(), argv=["dockerd", "--iptables=false"])],
    "2.5": [info(RegistryConfig={"IndexConfigs": {"r:5000": {"Secure": False}}})],
    "2.6": [info(Driver="aufs")],
    "2.7": [daemon(hosts=["tcp://0.0.0.0:2375"]), replace(good(), argv=["-H", "tcp://0.0.0.0:2375"])],
    "2.8": [daemon(**{"default-ulimits": {}})],
    "2.9": [info(SecurityOptions=["name=seccomp,profile=builtin"])],
    "2.10": [daemon(**{"cgroup-parent": "/x"})],
    "2.12": [daemon(**{"authorization-plugins": []})],
    "2.13": [info(LoggingDriver="json-file")],
    "2.14": [daemon(**{"no-new-privileges": False})],
    "2.15": [info(LiveRestoreEnabled=False)],
    "2.16": [daemon(**{"userland-proxy": True})],
    "2.18": [info(ExperimentalBuild=True)],
    "3.1": [file("/lib/systemd/system/docker.service", owner="me")],
    "3.2": [file("/lib/systemd/system/docker.service", mode=0o664)],
    "3.3": [file("/lib/systemd/system/docker.socket", group="me")],
    "3.4": [file("/lib/systemd/system/docker.socket", mode=0o666)],
    "3.5": [file("/etc/docker", owner="me")],
    "3.6": [file("/etc/docker", mode=0o775)],
    "3.15": [file("/run/docker.sock", group="users")],
    "3.16": [file("/run/docker.sock", group="docker", mode=0o666)],
    "3.17": [file("/etc/docker/daemon.json", owner="me")],
    "3.18": [file("/etc/docker/daemon.json", mode=0o646)],
    "3.19": [file("/etc/default/docker", owner="me")],
    "3.20": [file("/etc/default/docker", mode=0o755)],
    "3.23": [file("/run/containerd/containerd.sock", owner="me")],
    "3.24": [file("/run/containerd/containerd.sock", mode=0o666)],
    "4.1": [container(Config={"User": user}) for user in ("", "0", "0:0", "root:docker")],
    "5.1": [info(Swarm={"LocalNodeState": "active"})],
    "5.2": [container(AppArmorProfile=""), container(AppArmorProfile="unconfined")],
    "5.4": [host_config(CapDrop=None), host_config(CapAdd=["SYS_ADMIN"])],
    "5.5": [host_config(Privileged=True)],
    "5.6": [bind("/"), bind("/etc"), bind("/etc/ssh"), bind("/var/lib/docker/volumes")],
    "5.8": [port("172.17.0.1", "80")],
    "5.10": [host_config(NetworkMode="host")],
    "5.11": [host_config(Memory=0)],
    "5.12": [host_config(NanoCpus=0)],
    "5.13": [host_config(ReadonlyRootfs=False)],
    "5.14": [port("", "8080"), port("::", "8080")],
    "5.15": [
        host_config(RestartPolicy={"Name": "unless-stopped", "MaximumRetryCount": 0}),
        host_config(RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 0}),
    ],
    "5.16": [host_config(PidMode="host")],
    "5.17": [host_config(IpcMode="host")],
    "5.18": [host_config(Devices=[{"PathOnHost": "/dev/sda"}])],
    "5.20": [bind("/srv", Propagation="rshared")],
    "5.21": [host_config(UTSMode="host")],
    "5.22": [host_config(SecurityOpt=["no-new-privileges:true", "seccomp=unconfined"])],
    "5.25": [host_config(CgroupParent="/x")],
    "5.26": [host_config(SecurityOpt=None), host_config(SecurityOpt=["no-new-privileges:false"])],
    "5.27": [container(State={}), container(State={"Health": None})],
    "5.29": [host_config(PidsLimit=None), host_config(PidsLimit=0)],
    "5.30": [container(NetworkSettings={"Networks": {"bridge": {}}})],
    "5.31": [host_config(UsernsMode="host")],
    "5.32": [bind("/srv/docker.sock")],
}


def test_a_good_host_has_no_finding() -> None:
    assert audit(good()) == []


def test_every_item_has_a_bad_example() -> None:
    assert set(BAD) == set(ITEMS)


@pytest.mark.parametrize(("number", "facts"), [(number, facts) for number in BAD for facts in BAD[number]])
def test_an_item_finds_its_own_fault_and_nothing_else(number: str, facts: Facts) -> None:
    assert [finding.item for finding in audit(facts)] == [number]


def test_a_missing_file_is_no_fault() -> None:
    assert audit(replace(good(), files={})) == []


def test_apparmor_is_required_only_if_the_kernel_has_it() -> None:
    facts = replace(container(AppArmorProfile=""), info={**good().info, "SecurityOptions": ["name=userns"]})
    assert audit(facts) == []


def test_each_waiver_names_an_existing_item_and_is_needed() -> None:
    assert set(WAIVED) <= set(ITEMS)
    assert unexplained(audit(good())) == [f"{number} is waived, but has no finding" for number in WAIVED]
    findings = [finding for number in WAIVED for facts in BAD[number][:1] for finding in audit(facts)]
    assert unexplained(findings) == []
    assert unexplained([*findings, *audit(BAD["5.5"][0])]) == [
        "5.5 no privileged containers: api: it is privileged"
    ]


def test_the_facts_come_from_the_output_of_commands() -> None:
    answers = {
        "docker ps -aq": "a\nb\n",
        "docker inspect a b": json.dumps([{"Name": "/a"}, {"Name": "/b"}]),
        "docker info": json.dumps({"Driver": "overlay2"}),
        "docker network": json.dumps([{"Options": {}}]),
        "cat /etc": "{}",
        "tr ": "/usr/sbin/dockerd\n-H\nfd://\n",
        "stat ": "root docker 660 /run/docker.sock\n",
    }
    facts = cis_docker.collect(
        lambda line: next(said for start, said in answers.items() if line.startswith(start))
    )
    assert [one["Name"] for one in facts.containers] == ["/a", "/b"]
    assert facts.files == SOCKET
    assert facts.argv == ["/usr/sbin/dockerd", "-H", "fd://"]
