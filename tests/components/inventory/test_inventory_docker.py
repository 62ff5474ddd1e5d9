"""Undeclared containers, networks, volumes and plugins, read from a fake Docker on a socket."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socketserver
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.errors import AgentError
from portcullis.components.inventory.on_host import acceptances, docker
from tests.components.inventory.looking import SPEC, record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.components.inventory.looking import Host

_NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node '
    "to swarm and try again."
)
_WORKER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. "
    "Please run this command on a manager node or promote the current node to a manager."
)


@dataclass
class Engine:
    """A fake Docker. `answers` has the document for each request, by its whole path."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    listed: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def run(self, name: str, *networks: str, image: str = "mysql:8", **host_config: Any) -> str:
        number = f"{len(self.listed) + 1:064x}"
        mounts = host_config.pop("mounts", [])
        self.listed.append(
            {
                "Id": number, "Names": [f"/{name}"], "Image": image, "State": "running",
                "Created": 1795766412,
                "NetworkSettings": {"Networks": {one: {"NetworkID": "x"} for one in networks or ("bridge",)}},
                "HostConfig": {"NetworkMode": "default"},
            }
        )  # fmt: skip
        details = {"HostConfig": host_config, "Mounts": mounts, "Config": {"Env": ["PASSWORD=hunter2"]}}
        self.answers[f"/containers/{number}/json"] = (200, details)
        return number

    def answer(self, target: str) -> tuple[int, Any]:
        self.asked.append(target)
        if target == "/containers/json?all=1":
            return self.answers.get(target, (200, self.listed))
        return self.answers.get(target, (404, {"message": f"no {target}"}))


@pytest.fixture
def engine(host: Host) -> Iterator[Engine]:
    made = Engine()
    made.answers["/swarm"] = (503, {"message": _NO_SWARM})
    made.answers["/networks"] = (
        200,
        [{"Name": name, "Id": name * 10, "Driver": name} for name in ("bridge", "host", "none")],
    )
    made.answers["/volumes"] = (200, {"Volumes": None, "Warnings": None})
    made.answers["/plugins"] = (200, [])
    made.answers["/images/json"] = (200, [{"Id": "sha256:1", "RepoTags": None}, {"Id": "sha256:2"}])

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            method, target, _ = self.rfile.readline().decode().split()
            assert method == "GET"
            for _ in iter(self.rfile.readline, b"\r\n"):
                pass
            status, document = made.answer(target)
            with contextlib.suppress(BrokenPipeError):
                self.wfile.write(f"HTTP/1.0 {status} X\r\n\r\n{json.dumps(document)}\n".encode())

    path = host.machine.docker
    path.parent.mkdir(parents=True)
    server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def told(host: Host) -> dict[str, str]:
    return {key: entry.text for key, entry in docker.read(host.look()).get("docker", {}).items()}


def note(host: Host, item: str, number: str, *former: str, name: str = "") -> None:
    """Add the record of a container's state, with the container's id and those of its predecessors."""
    made = record("containers.container_states", item, container=name or item, expects="healthy")
    made.extra |= {"container": number, "former containers": list(former)}
    host.records.append(made)


def declare(host: Host, *containers: str, volumes: tuple[str, ...] = (), **networks: str) -> None:
    named = {name.replace("_", "-"): members for name, members in networks.items()}
    host.spec = dataclasses.replace(SPEC, containers=containers, networks=named, volumes=volumes)


def test_a_host_without_docker_has_no_entries(host: Host) -> None:
    assert docker.read(host.look()) == {}


def test_without_differences_docker_gets_only_six_requests(host: Host, engine: Engine) -> None:
    note(host, "redis", engine.run("redis", "redis", "redis-shared"))
    declare(host, redis="redis", redis_shared="redis,api")
    assert told(host) == {}
    assert sorted(engine.asked) == [
        "/containers/json?all=1",
        "/images/json",
        "/networks",
        "/plugins",
        "/swarm",
        "/volumes",
    ]


def test_an_undeclared_container(host: Host, engine: Engine) -> None:
    number = engine.run("leak", "redis-shared", image=f"sha256:{'ab' * 32}")
    declare(host, redis_shared="redis")
    found = docker.read(host.look())["docker"]["container leak"]
    assert found.text == "sha256:abababababab, in redis-shared"
    assert (found.mark, found.changed) == (number, 1795766412.0)


def test_dangers_come_first_and_the_environment_is_left_out(host: Host, engine: Engine) -> None:
    redis = engine.run("redis", "redis")
    engine.run(
        "evil",
        Privileged=True,
        PidMode="host",
        NetworkMode=f"container:{redis}",
        IpcMode="host",
        CapAdd=["SYS_ADMIN", "NET_ADMIN"],
        SecurityOpt=["seccomp=unconfined", "no-new-privileges"],
        Devices=[{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda"}],
        mounts=[
            {"Type": "volume", "Source": "/var/lib/docker/volumes/x", "Destination": "/x", "RW": True},
            {"Type": "bind", "Source": "/srv/x", "Destination": "/x", "RW": True},
            {"Type": "bind", "Source": "/etc/ssh", "Destination": "/e", "RW": False},
            {"Type": "bind", "Source": "/", "Destination": "/hostfs", "RW": True},
            {"Type": "bind", "Source": "/var/run/docker.sock", "Destination": "/s", "RW": True},
        ],
    )
    declare(host, "redis", redis="redis")
    assert told(host) == {
        "container evil": (
            "privileged, sees the host's processes, in the network of redis, in the host's shared memory, "
            "mounts / at /hostfs, root by Docker's socket (/var/run/docker.sock at /s), "
            "mounts /etc/ssh at /e, read-only, mounts /srv/x at /x, capabilities NET_ADMIN, SYS_ADMIN, "
            "without seccomp, devices /dev/sda, mysql:8"
        )
    }


_MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]
_READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
USUAL: dict[str, Any] = {
    "Privileged": False, "PidMode": "", "IpcMode": "private", "UTSMode": "", "UsernsMode": "",
    "NetworkMode": "default", "CgroupnsMode": "private", "Runtime": "runc", "CapAdd": None,
    "SecurityOpt": ["no-new-privileges:true", "seccomp=builtin", "apparmor=docker-default"],
    "Devices": [], "DeviceCgroupRules": None, "DeviceRequests": None, "Binds": None,
    "MaskedPaths": _MASKED, "ReadonlyPaths": _READ_ONLY,
    "Mounts": [
        {"Type": "volume", "Source": "data", "Target": "/data"},
        {"Type": "tmpfs", "Target": "/tmp"},  # noqa: S108 - a path in the container
    ],
}  # fmt: skip
"""The options of an ordinary container, as Docker shows them."""


def test_the_options_of_an_ordinary_container_are_no_danger() -> None:
    assert docker.dangers_of({"HostConfig": USUAL}, {}) == []
    assert docker.dangers_of({"HostConfig": USUAL | {"Runtime": "io.containerd.runc.v2"}}, {}) == []


_GPU = {"Driver": "", "Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]]}
_CDI = {"Driver": "cdi", "DeviceIDs": ["vendor.com/class=sda"]}
_DISK = {"Options": {"type": "none", "o": "bind,password=hunter2", "device": "/etc"}}


@pytest.mark.parametrize(
    ("option", "value", "danger"),
    [
        ("DeviceCgroupRules", ["b 8:* rwm"], "devices by the rule b 8:* rwm"),
        ("DeviceRequests", [_GPU], "devices by the driver for GPUs"),
        ("DeviceRequests", [_CDI], "devices by the driver cdi vendor.com/class=sda"),
        ("MaskedPaths", [], "sees the kernel's memory and keys"),
        ("MaskedPaths", ["/nothing"], "sees the kernel's memory and keys"),
        ("ReadonlyPaths", [], "writes to the kernel's settings"),
        ("ReadonlyPaths", _READ_ONLY[:-1], "writes to the kernel's settings"),
        ("CgroupnsMode", "host", "sees the host's control groups"),
        ("SecurityOpt", ["writable-cgroups=true"], "writes to its control groups"),
        ("SecurityOpt", ["writable-cgroups"], "writes to its control groups"),
        ("SecurityOpt", ['seccomp={"defaultAction": "SCMP_ACT_ALLOW"}'], "with its own seccomp profile"),
        ("SecurityOpt", ['seccomp:{"a": "b=c"}'], "with its own seccomp profile"),
        ("SecurityOpt", ["apparmor=mine"], "with its own apparmor profile"),
        ("SecurityOpt", ["apparmor:unconfined"], "without apparmor"),
        ("SecurityOpt", ["label=type:unconfined_t"], "without label"),
        ("Mounts", [{"Type": "bind", "Source": "/", "Target": "/h"}], "mounts / at /h"),
        (
            "Mounts",
            [{"Type": "bind", "Source": "/etc/", "Target": "/e", "ReadOnly": True}],
            "mounts /etc at /e, read-only",
        ),
        (
            "Mounts",
            [{"Type": "volume", "Target": "/e", "VolumeOptions": {"DriverConfig": _DISK}}],
            "mounts /etc at /e",
        ),
    ],
)
def test_an_option_that_gives_rights_on_the_host(option: str, value: object, danger: str) -> None:
    details = {"HostConfig": USUAL | {option: value}}
    assert docker.dangers_of(details, {}) == [danger]
    assert docker._opens(details)


def test_a_declared_container_may_read_a_folder_that_it_asked_for() -> None:
    asked = [{"Type": "bind", "Source": "/etc/portcullis/x", "Target": "/x", "ReadOnly": True}]
    details = {"HostConfig": USUAL | {"Mounts": asked}}
    assert docker.dangers_of(details, {}, named=True) == []
    asked[0]["ReadOnly"] = False
    assert docker.dangers_of(details, {}, named=True) == ["mounts /etc/portcullis/x at /x"]


def test_the_hosts_control_groups_are_a_danger_only_where_docker_has_others(
    host: Host, engine: Engine
) -> None:
    engine.run("leak", CgroupnsMode="host")
    assert told(host)["container leak"] == "mysql:8"
    host.write("/sys/fs/cgroup/cgroup.controllers", "cpu")
    assert told(host)["container leak"] == "sees the host's control groups, mysql:8"


KEY, ACCEPT = "container leak", {"container leak": "the vendor's"}


def accepted(host: Host, known: acceptances.Kept) -> dict[str, str]:
    """Return what is told of the container that `ACCEPT` accepts."""
    found = acceptances.left(docker.read(host.look()), ACCEPT, known)["docker"]
    return {key: entry.text for key, entry in found.items()}


def make(engine: Engine, older: int, **options: Any) -> dict[str, Any]:
    """Make the container after a number of others, which gives it its id. Return its details."""
    engine.listed.clear()
    for _ in range(older):
        engine.run("older")
    number = engine.run("leak", **USUAL | options)
    del engine.listed[:older]
    details: dict[str, Any] = engine.answers[f"/containers/{number}/json"][1]
    details |= {"Id": number, "Image": "sha256:1"}
    details["Config"] |= {"Hostname": number[:12], "Labels": {"replaces": older}, "Tty": False}
    details["HostConfig"] |= {"ConsoleSize": [1, older], "Annotations": {} if older else None}
    return details


@pytest.mark.parametrize(
    "newer",
    [
        {"NetworkMode": "bridge"},
        {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}},
        {"MaskedPaths": [*_MASKED, "/sys/devices/virtual/powercap"]},
        {"Mounts": USUAL["Mounts"][::-1]},
        {"New": []},
    ],
)
def test_a_newer_docker_does_not_change_the_options_of_a_container(newer: dict[str, Any]) -> None:
    def digest(options: dict[str, Any], *env: str) -> str:
        return docker._digest({"Image": "x", "Config": {"Env": env}, "HostConfig": options}, "1", {})

    assert digest(USUAL, "A=1", "B=2") == digest(USUAL | newer, "B=2", "A=1")
    assert digest(USUAL) != digest(USUAL | {"Privileged": True})


def test_an_accepted_container_that_is_made_anew_with_other_options_shows(host: Host, engine: Engine) -> None:
    make(engine, 0)
    known = acceptances.kept(docker.read(host.look()), ACCEPT, {})
    assert accepted(host, known) == {}
    make(engine, 1)
    assert accepted(host, known) == {}
    for part, option, value in (
        ("HostConfig", "GroupAdd", ["999"]),
        ("HostConfig", "VolumesFrom", ["other"]),
        ("Config", "Cmd", ["sh", "-c", "evil"]),
        ("Config", "Hostname", "mine"),
        ("Config", "Env", []),
    ):
        make(engine, 1)[part][option] = value
        text = "mysql:8, changed since it was accepted (mysql:8)"
        assert accepted(host, known) == {KEY: text}, option
    make(engine, 1)["Image"] = "sha256:2"
    assert set(accepted(host, known)) == {KEY}


def test_a_container_that_an_older_version_accepted_stays_accepted(host: Host, engine: Engine) -> None:
    number = engine.run("leak", **USUAL)
    old = {KEY: ["the vendor's", "mysql:8", ""]}
    assert accepted(host, old) == {}
    known = acceptances.kept(docker.read(host.look()), ACCEPT, old)
    assert known[KEY][2], "the next up records the options"
    engine.answers[f"/containers/{number}/json"][1]["HostConfig"]["GroupAdd"] = ["0"]
    assert accepted(host, old) == {}
    assert KEY in accepted(host, known)
    assert acceptances.kept(docker.read(host.look()), ACCEPT, known) == known


def test_the_container_whose_network_is_shared_may_be_made_anew(host: Host, engine: Engine) -> None:
    digests = set()
    for older in (1, 2):
        make(engine, older, NetworkMode=f"container:{older:064x}")
        peer = {**engine.listed[0], "Id": f"{older:064x}", "Names": ["/peer"]}
        engine.listed.append(peer)
        digests.add(docker.read(host.look())["docker"][KEY].options)
    assert len(digests) == 1


def test_a_published_port_shows(host: Host, engine: Engine) -> None:
    number = engine.run("leak")
    ports = {
        "3306/tcp": [{"HostIp": "172.17.0.1", "HostPort": "3306"}, {"HostIp": "::", "HostPort": "3306"}],
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
        "81/tcp": None,
    }
    engine.answers[f"/containers/{number}/json"][1]["NetworkSettings"] = {"Ports": ports}
    assert told(host)["container leak"] == "publishes 172.17.0.1:3306, [::]:3306, mysql:8"


def test_the_mounts_of_a_container_that_never_started_show(host: Host, engine: Engine) -> None:
    engine.run("made", Binds=["/:/hostfs:ro", "data:/data"], NetworkMode="host")
    assert told(host)["container made"] == "in the host's network, mounts / at /hostfs, mysql:8"


def test_a_declared_container_in_an_undeclared_network(host: Host, engine: Engine) -> None:
    engine.run("redis", "redis", "redis-shared", "bridge")
    engine.run("own", "anything")
    declare(host, "redis", "own", redis="redis", redis_shared="redis")
    assert told(host) == {"member bridge: redis": "was connected by hand"}


@pytest.mark.parametrize(
    ("target", "text", "fix"),
    [
        ("172.18.0.9:6379", "was connected by hand", ("disconnect", "extra", "redis")),
        ("172.19.0.9:80", "was connected by hand, nginx sends requests to it there", None),
        ("[fd00:0::9]:80", "was connected by hand, nginx sends requests to it there", None),
        ("unix:/srv/s", "was connected by hand", ("look-at-targets",)),
    ],
)
def test_no_command_takes_away_the_address_that_nginx_uses(
    host: Host, engine: Engine, target: str, text: str, fix: tuple[str, ...] | None
) -> None:
    engine.run("redis", "redis", "extra")
    engine.listed[0]["NetworkSettings"]["Networks"] = {
        "redis": {"IPAddress": "172.18.0.9"},
        "extra": {"IPAddress": "172.19.0.9", "GlobalIPv6Address": "fd00::9"},
    }
    declare(host, "redis", redis="redis")
    serve(host, target)
    entry = docker.read(host.look())["docker"]["member extra: redis"]
    assert (entry.text, entry.fixes) == (text, (fix,) if fix else ())


# Ids and names ----------------------------------------------------------------------------------------------

DANGERS = {"Privileged": True, "PidMode": "host", "Binds": ["/:/hostfs"]}


@pytest.fixture
def rollout(host: Host, engine: Engine) -> Host:
    """A host with an app whose present release has the number 7, and a job of this release."""
    made = record("containers.releases", "api", app="api", published=True, cpus="1.0")
    made.extra["number"] = 7
    host.records.append(made)
    declare(host, "api", api="api", redis_shared="redis,api")
    note(host, "api", engine.run("api-7", "api", "redis-shared"), name="api-7")
    note(host, "api-before-1", engine.run("api-before-1-7", "api", "redis-shared"), name="api-before-1-7")
    return host


def test_releases_and_jobs_are_declared_by_their_ids(rollout: Host) -> None:
    assert told(rollout) == {}


@pytest.mark.parametrize("name", ["api", "api-01", "api-3", "api-8", "api-before-99-1", "api-after-7-1"])
def test_a_name_of_ours_hides_no_dangerous_container(rollout: Host, engine: Engine, name: str) -> None:
    engine.run(name, **DANGERS)
    assert told(rollout) == {
        f"container {name}": "privileged, sees the host's processes, mounts / at /hostfs, mysql:8"
    }


def test_a_container_that_was_made_again_by_hand_is_undeclared(rollout: Host, engine: Engine) -> None:
    engine.run("api-7", "api", Privileged=True)
    del engine.listed[0]
    assert told(rollout) == {"container api-7": "privileged, mysql:8, in api"}


def test_a_record_of_another_version_has_a_name_and_dangers_show(host: Host, engine: Engine) -> None:
    note(host, "redis", "")
    secrets = {"Type": "bind", "Source": "/etc/portcullis/secrets/redis", "Destination": "/s", "RW": False}
    number = engine.run("redis", "redis", mounts=[secrets])
    ports = {"6379/tcp": [{"HostIp": "172.17.0.1", "HostPort": "6379"}]}
    engine.answers[f"/containers/{number}/json"][1]["NetworkSettings"] = {"Ports": ports}
    declare(host, redis="redis")
    assert told(host) == {}
    engine.answers[f"/containers/{number}/json"][1]["HostConfig"] |= DANGERS
    assert told(host) == {
        "container redis": "privileged, sees the host's processes, mounts / at /hostfs, mysql:8, in redis"
    }


STILL, LEFT = "the release before, still serving", "left by an `up` that failed"


def test_among_too_many_containers_each_shows_that_it_was_not_looked_at(host: Host, engine: Engine) -> None:
    for number in range(100):
        engine.run(f"many-{number}")
    note(host, "redis", "")
    engine.run("redis", Privileged=True)
    engine.run("leak", Privileged=True)
    found = told(host)
    assert (found["container many-99"], len(found)) == ("mysql:8", 102)
    for name in ("redis", "leak"):
        assert found[f"container {name}"] == "not looked at for dangers: there are too many, mysql:8"


def serve(host: Host, *targets: str) -> None:
    """Let nginx send requests to these targets."""
    host.write("/etc/nginx/nginx.conf", "http { include conf.d/*.conf; }")
    lines = "".join(f"server {target} max_fails=0;" for target in targets)
    host.write("/etc/nginx/conf.d/site.conf", f"upstream app {{ {lines} }} server {{ listen 80; }}")


def publish(engine: Engine, port: int) -> None:
    """Publish a port of the container that was added last."""
    engine.listed[-1]["Ports"] = [
        {"PrivatePort": 80, "Type": "tcp"},
        {"IP": "172.17.0.1", "PrivatePort": 80, "PublicPort": port, "Type": "tcp"},
    ]


def test_what_a_failed_up_left_is_told_as_that(host: Host, engine: Engine) -> None:
    ids = []
    for number in (1, 2, 3):
        ids.append(engine.run(f"api-{number}", "api"))
        publish(engine, 28000 + number)
    note(host, "api", ids[2], ids[1], ids[0], name="api-3")
    declare(host, "api", api="api")
    serve(host, "172.17.0.1:28001")
    assert told(host) == {"container api-1": STILL, "container api-2": LEFT}
    serve(host, "172.17.0.1:28003")
    assert told(host) == {"container api-1": LEFT, "container api-2": LEFT}
    serve(host, "172.17.0.1")
    assert told(host) == {"container api-1": LEFT, "container api-2": LEFT}


@pytest.mark.parametrize("target", ["172.17.0.1:9000", "http://172.18.0.9:80/x", "http://[fd00::9]"])
def test_an_undeclared_container_that_nginx_sends_requests_to(
    host: Host, engine: Engine, target: str
) -> None:
    engine.run("leak", "plain", Privileged=True)
    publish(engine, 9000)
    joined = engine.listed[0]["NetworkSettings"]["Networks"]
    joined["plain"] = {"IPAddress": "172.18.0.9", "GlobalIPv6Address": "fd00::9"}
    assert told(host)["container leak"] == "privileged, mysql:8, in plain"
    serve(host, target)
    text = told(host)["container leak"]
    assert text == "nginx sends requests to it, privileged, mysql:8, in plain"
    (leak,) = (entry for key, entry in docker.read(host.look())["docker"].items() if key == "container leak")
    assert (leak.fixes, leak.is_open) == ((), True)
    serve(host, "172.18.0.99:80", "app.internal:80")
    leak = docker.read(host.look())["docker"]["container leak"]
    assert (leak.text, leak.fixes) == ("privileged, mysql:8, in plain", (("look-at-targets",),))


def test_a_container_in_the_hosts_network_may_serve_a_port_that_no_other_publishes(
    host: Host, engine: Engine
) -> None:
    engine.run("leak", "host", NetworkMode="host")
    serve(host, "127.0.0.1:3000")
    assert told(host)["container leak"].startswith("nginx sends requests to it, in the host's network")
    engine.run("other")
    publish(engine, 3000)
    assert told(host)["container leak"].startswith("in the host's network")


def test_a_container_that_up_has_just_made_shows_only_if_it_is_dangerous(host: Host, engine: Engine) -> None:
    note(host, "other", engine.run("other"))
    net = {"Name": "extra", "Id": "a", "Driver": "bridge", "Labels": {"portcullis.stack": "web/prod"}}
    engine.answers["/networks"][1].append(net)
    number = engine.run("extra", "extra")
    engine.listed[-1] |= {"Labels": {"portcullis.stack": "web/prod"}, "Created": int(time.time())}
    assert told(host) == {}
    engine.listed[-1]["Created"] -= 61
    assert told(host) == {
        "container extra": "may be left by an `up` that failed, mysql:8, in extra",
        "network extra": "bridge",
    }
    engine.listed[-1] |= {"Labels": {"portcullis.stack": "web/dev"}, "Created": int(time.time())}
    assert set(told(host)) == {"container extra", "network extra"}
    engine.listed[-1] |= {"Labels": {"portcullis.stack": "web/prod"}}
    engine.answers[f"/containers/{number}/json"][1]["HostConfig"]["Privileged"] = True
    assert set(told(host)) == {"container extra"}


def test_what_has_no_label_belongs_to_no_stack(host: Host, engine: Engine) -> None:
    made = record("file", "/etc/x")
    made.stack = ""  # some records name no stack
    host.records.append(made)
    engine.run("leak")
    engine.listed[-1]["Created"] = int(time.time())
    engine.answers["/networks"][1].append({"Name": "empty", "Id": "a", "Driver": "bridge"})
    assert told(host) == {"container leak": "mysql:8", "network empty": "bridge"}


def test_a_container_beside_those_of_the_settings_is_declared_with_its_network_and_volume(
    host: Host, engine: Engine
) -> None:
    net = {"Name": "extra", "Id": "a", "Driver": "bridge", "Labels": {"portcullis.stack": "web/prod"}}
    engine.answers["/networks"][1].append(net)
    engine.answers["/volumes"] = (200, {"Volumes": [{"Name": "extra-data", "Driver": "local"}]})
    number = engine.run("extra", "extra")
    engine.listed[0]["Mounts"] = [{"Type": "volume", "Name": "extra-data"}]
    assert set(told(host)) == {"container extra", "network extra", "volume extra-data"}
    note(host, "extra", number)
    assert told(host) == {}
    engine.run("leak", "extra")
    assert set(told(host)) == {"container leak", "network extra"}
    net["Driver"] = "macvlan"
    engine.listed.pop()
    assert set(told(host)) == {"network extra"}


def test_a_container_with_a_link_beside_the_settings_has_its_own_network_too(
    host: Host, engine: Engine
) -> None:
    for name in ("web", "redis", "web.redis"):
        label = {"portcullis.stack": "web/prod"}
        net = {"Name": name, "Id": name, "Driver": "bridge", "Labels": label}
        engine.answers["/networks"][1].append(net)
    note(host, "web", engine.run("web", "web", "web.redis"))
    note(host, "redis", engine.run("redis", "redis", "web.redis"))
    declare(host, redis="redis")
    assert "member web.redis: redis" in told(host)
    host.records.append(record("containers.links", "web.redis", user="web", server="redis"))
    assert told(host) == {}


def test_a_release_that_was_connected_to_another_network(rollout: Host, engine: Engine) -> None:
    engine.listed[0]["NetworkSettings"]["Networks"]["mongo-shared"] = {}
    assert told(rollout) == {"member mongo-shared: api-7": "was connected by hand"}


# Networks and the rest --------------------------------------------------------------------------------------


def test_the_text_of_a_network_says_whether_it_passes_the_firewalls(host: Host, engine: Engine) -> None:
    engine.answers["/networks"][1].extend(
        [
            {"Name": "redis", "Id": "a", "Driver": "bridge"},
            {"Name": "rt1macvlan", "Id": "b", "Driver": "macvlan", "Options": {"parent": "eth0"},
             "Created": "2026-11-27T09:00:12.5+01:00"},
            {"Name": "six", "Id": "c", "Driver": "bridge", "EnableIPv6": True, "Internal": True},
            {"Name": "over", "Id": "d", "Driver": "overlay", "Scope": "swarm"},
        ]
    )  # fmt: skip
    declare(host, redis="")
    assert told(host) == {
        "network rt1macvlan": "macvlan on eth0: passes all firewalls",
        "network six": "bridge, IPv6, internal",
        "network over": "overlay, of a swarm",
    }
    assert docker.read(host.look())["docker"]["network rt1macvlan"].changed == 1795766412.0


def test_networks_named_like_a_swarms_show_without_a_swarm(host: Host, engine: Engine) -> None:
    engine.answers["/networks"][1].extend(
        [
            {"Name": "ingress", "Id": "e", "Driver": "overlay", "Scope": "swarm"},
            {"Name": "docker_gwbridge", "Id": "f", "Driver": "bridge"},
        ]
    )
    assert set(told(host)) == {"network ingress", "network docker_gwbridge"}
    engine.answers["/swarm"] = (200, {})
    assert set(told(host)) == {"swarm mode"}


def test_an_address_that_no_firewall_guards_shows(host: Host, engine: Engine) -> None:
    engine.answers["/networks"] = (200, [{"Name": "mac", "Id": "b", "Driver": "macvlan"}])
    engine.run("leak", "mac", "plain")
    joined = engine.listed[0]["NetworkSettings"]["Networks"]
    joined["mac"] = {"IPAddress": "198.51.100.77", "GlobalIPv6Address": "2001:db8::7"}
    joined["plain"] = {"IPAddress": "172.18.0.2"}
    assert told(host)["container leak"] == "mysql:8, in mac as 198.51.100.77 2001:db8::7, in plain"


def test_bridges_are_known_by_their_interface(host: Host, engine: Engine) -> None:
    engine.answers["/networks"] = (
        200,
        [
            {"Name": "bridge", "Id": "f" * 64, "Driver": "bridge",
             "Options": {"com.docker.network.bridge.name": "docker0"}},
            {"Name": "x", "Id": "0123456789abcdef", "Driver": "bridge", "Options": None},
            {"Name": "y", "Id": "1", "Driver": "macvlan", "Options": {"parent": "eth0"}},
        ],
    )  # fmt: skip
    assert [one.bridge for one in docker.networks(host.machine)] == ["docker0", "br-0123456789ab", ""]


def test_volumes(host: Host, engine: Engine) -> None:
    engine.answers["/volumes"] = (
        200,
        {
            "Volumes": [
                {"Name": "redis", "Driver": "local"},
                {"Name": "e" * 64, "Driver": "local"},
                {"Name": "mine", "Driver": "local", "CreatedAt": "2026-11-27T08:00:12Z"},
                {"Name": "all", "Driver": "local", "Options": {"type": "none", "device": "/", "o": "bind"}},
                {"Name": "share", "Driver": "local",
                 "Options": {"type": "cifs", "device": "//x", "o": "password=hunter2"}},
            ]
        },
    )  # fmt: skip
    declare(host, volumes=("redis",))
    assert told(host) == {
        "volume mine": "local",
        "volume all": "local, is / of the host",
        "volume share": "local, cifs",
    }


def test_images_with_a_tag_that_no_container_uses(host: Host, engine: Engine) -> None:
    engine.answers["/images/json"] = (
        200,
        [
            {"Id": "sha256:1", "RepoTags": ["evil:1", "<none>:<none>"]},
            {"Id": "sha256:2", "RepoTags": ["mysql:8"]},
            {"Id": "sha256:3", "RepoTags": ["of-ours:1"]},
            {"Id": "sha256:4", "RepoTags": [f"registry.example:5000/hello@sha256:{'5f' * 32}"]},
        ],
    )
    engine.run("leak")
    engine.run("redis")
    engine.listed[1]["ImageID"] = "sha256:3"
    declare(host, "redis")
    assert told(host) == {
        "container leak": "mysql:8",
        "image evil:1": "has a tag, which images of ours have not",
        "image of-ours:1": "has a tag, which images of ours have not",
    }


def test_plugins(host: Host, engine: Engine) -> None:
    engine.answers["/plugins"] = (200, [{"Name": "vieux/sshfs:latest", "Enabled": True, "Id": "a"}])
    assert told(host) == {"plugin vieux/sshfs:latest": "enabled; it runs as root on the host"}


@pytest.mark.parametrize(
    ("status", "message", "text"),
    [
        (503, _NO_SWARM, None),
        (503, _WORKER, "this host is in a swarm"),
        (
            503,
            "Swarm is encrypted and needs to be unlocked before it can be used.",
            "this host is in a swarm",
        ),
        (200, "", "this host manages a swarm"),
        (500, "on fire", None),
    ],
)
def test_swarm(host: Host, engine: Engine, status: int, message: str, text: str | None) -> None:
    engine.answers["/swarm"] = (status, {"message": message})
    assert told(host) == ({"swarm mode": text} if text else {})


def test_one_list_that_cannot_be_read_hides_no_other(host: Host, engine: Engine) -> None:
    engine.run("leak")
    engine.answers["/volumes"] = (500, {"message": "on fire"})
    assert told(host) == {
        "container leak": "mysql:8",
        "reading Docker's volumes": "cannot be read: Docker refuses the request /volumes: on fire",
    }


def test_a_broken_docker_is_an_error(host: Host, engine: Engine) -> None:
    engine.answers["/containers/json?all=1"] = (500, {"message": "on fire"})
    with pytest.raises(AgentError, match="on fire"):
        docker.read(host.look())


def test_a_container_that_disappears_while_it_is_read_is_left_out(host: Host, engine: Engine) -> None:
    number = engine.run("brief")
    del engine.answers[f"/containers/{number}/json"]
    assert told(host) == {}


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-27T08:00:12.123456789Z", 1795766412.0),
        ("2026-11-27T09:30:12+01:30", 1795766412.0),
        ("2026-11-27T03:00:12-05:00", 1795766412.0),
        ("never", None),
        (None, None),
    ],
)
def test_times_of_docker(text: str | None, at: float | None) -> None:
    assert docker.seconds(text) == at


# How root undoes a difference -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "is_open"),
    [
        ({}, False),
        ({"Privileged": True}, True),
        ({"PidMode": "host"}, True),
        ({"NetworkMode": "container:x"}, True),
        ({"CapAdd": ["SYS_ADMIN"]}, True),
        ({"SecurityOpt": ["seccomp=unconfined"]}, True),
        ({"Devices": [{"PathOnHost": "/dev/sda"}]}, True),
        ({"Binds": ["/srv/data:/data", "/srv/at /etc:/data"]}, False),
        ({"Binds": ["/srv/data:/data", "/etc/ssh:/h"]}, True),
        ({"Binds": ["/:/h"]}, True),
        ({"Binds": ["/run/docker.sock:/s"]}, True),
    ],
)
def test_which_containers_open_the_host(
    host: Host, engine: Engine, config: dict[str, Any], *, is_open: bool
) -> None:
    # The name of the image is no danger.
    engine.run("leak", image="privileged", **config)
    found = docker.read(host.look())["docker"]["container leak"]
    assert found.is_open is is_open
    assert found.fixes == (("remove-container", "leak"),)


def test_the_command_of_each_kind_of_thing(host: Host, engine: Engine) -> None:
    engine.run("redis", "redis", "bridge")
    declare(host, "redis", redis="redis")
    engine.answers["/networks"][1].append({"Name": "lan", "Id": "b", "Driver": "macvlan"})
    engine.answers["/volumes"] = (200, {"Volumes": [{"Name": "v", "Driver": "local"}]})
    engine.answers["/images/json"] = (200, [{"Id": "sha256:1", "RepoTags": ["drill/tagged:1"]}])
    engine.answers["/plugins"] = (200, [{"Name": "vieux/sshfs:latest", "Id": "a"}])
    engine.answers["/swarm"] = (200, {})
    found = docker.read(host.look())["docker"]
    assert {key: entry.fixes for key, entry in found.items()} == {
        "member bridge: redis": (("disconnect", "bridge", "redis"),),
        "network lan": (("remove-network", "lan"),),
        "volume v": (("remove-volume", "v"),),
        "image drill/tagged:1": (("remove-image", "drill/tagged:1"),),
        "plugin vieux/sshfs:latest": (("remove-plugin", "vieux/sshfs:latest"),),
        "swarm mode": (("leave-swarm",),),
    }
    opened = {key for key, entry in found.items() if entry.is_open}
    assert opened == {"network lan", "plugin vieux/sshfs:latest", "swarm mode"}
