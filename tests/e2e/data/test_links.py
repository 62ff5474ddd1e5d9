"""Apps and a store that reach each other on a real host, beside an nginx and visitors without a pause.

The first program puts all users of the store into one network, as the releases before the links did.
"""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab import scan
from lab.images import Image
from tests.e2e.data.visitors import Load
from tests.e2e.host.watch import wait_for
from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.pytest_lab import Host, Lab

SITE = "web.example.com"
VISITS = ["/cgi-bin/ask"] * 7 + ["/cgi-bin/ask?5"] * 3
CLIENT = Path(__file__).with_name("link_client.py")
HEALTH = ("/bin/busybox", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/healthz")
ASK = """#!/bin/sh
sleep ${{QUERY_STRING:-0}}
printf 'Content-Type: text/plain\\n\\n'
echo "{name} $(wget -q -O - http://{asks}:8080/)"
"""
# On the second port, a connection stays open: it says again what it hears.
SERVER = "nc -ll -p 8081 -e cat & exec httpd -f -p 8080 -h /bin/www"
PROGRAM = """
from portcullis.components import (
    DockerEngine, DockerEngineArgs, PrivateContainer, PrivateContainerArgs, ProxiedApp, ReverseProxy,
    ReverseProxyArgs, SiteArgs,
)
from portcullis.components.nginx.args import LimitsArgs
from portcullis.host import Host

engine = DockerEngine("docker", DockerEngineArgs(), host=Host("web1", os="debian-13"))

def private(name, image, joins=(), **given):
    args = PrivateContainerArgs(image=image, health_command={health}, port=8080, healthy_within=120, **given)
    former = {former} and any(each is store for each in joins)
    joined = dict(networks=[store.shared]) if former else dict(uses=joins)
    return PrivateContainer(name, args, engine=engine, **joined)

store = private("store", {store!r}, shared=True)
"""
APPS = """
other = private("other", {other!r}, [store])
api = private("api", {api!r}, rollout=True, published=False)
served = private("web", {web!r}, [{uses}], rollout=True)
answers = ProxiedApp(engine.bind_address, served.port, depends_on=[served])
# All visitors of this test come from one address.
site = SiteArgs(app="web", tls="none", limits=LimitsArgs(requests=0, connections=0))
shared = ReverseProxyArgs(drain=15)
ReverseProxy("nginx", shared, host=Host("web1"), sites={{"{site}": site}}, apps={{"web": answers}})
"""
# An `up` is broken off when the host prints something else than before it.
MOMENTS = {
    "the network is there": "docker network ls --format '{{.Name}}' | grep web.store",
    "the next release is there": "docker ps -a --format '{{.Names}}' | grep web- | sort -V | tail -1",
    "nginx has turned to it": "grep -rho '172.17.0.1:[0-9]*' /etc/nginx/conf.d",
}


@dataclass
class Stack:
    """A project with a store, its two users, and a third app that one of them uses later."""

    project: Project
    images: Mapping[str, str]
    now: dict[str, Any] = field(
        default_factory=lambda: {"former": True, "store": "store", "web": "web asks store", "uses": "store"}
    )

    @property
    def host(self) -> Host:
        return self.project.host

    def program(self, text: str = APPS, **changes: Any) -> Project:
        self.now |= changes
        given = {"other": "other", "api": "api"} | self.now
        given |= {name: self.images[given[name]] for name in ("store", "other", "api", "web")}
        return self.project.program((PROGRAM + text).format(health=HEALTH, site=SITE, **given))

    def id(self, name: str) -> str:
        return self.host.run(["docker", "inspect", "-f", "{{.Id}}", name]).stdout.strip()

    def differs(self, look: str, before: str) -> bool:
        return self.host.run(look, check=False).stdout != before

    def running(self, app: str) -> str:
        names = self.host.run("docker ps --format '{{.Names}}'").stdout.split()
        (found,) = [name for name in names if name.rpartition("-")[0] == app]
        return found

    def networks(self) -> dict[str, set[str]]:
        """Return the containers in each network, by their names without the number of the release."""
        names = self.host.run("docker network ls -q --filter driver=bridge").stdout.split()
        found = json.loads(self.host.run(["docker", "network", "inspect", *names]).stdout)
        return {
            one["Name"]: {member["Name"].split("-")[0] for member in one["Containers"].values()}
            for one in found
            if one["Name"] != "bridge"
        }

    def addresses(self, name: str) -> list[str]:
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        return self.host.run(["docker", "inspect", "-f", form, name]).stdout.split()


def image(name: str, *, asks: str = "") -> Image:
    return Image(
        name="links",
        tag=f"{name}-{asks or 'nobody'}",
        command=("/bin/busybox", "sh", "-c", SERVER),
        files={
            "bin/www/index.html": f"{name}\n".encode(),
            "bin/www/healthz": b"ok\n",
            "bin/www/cgi-bin/ask": ASK.format(name=name, asks=asks).encode(),
        },
        port=8080,
    )


@pytest.fixture(scope="module")
def stack(lab: Lab, module_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    project = Project(tmp_path_factory.mktemp("links") / "links", module_host, name="links")
    made = [image(name) for name in ("store", "store2", "other", "api", "api2")]
    images = {one.tag.partition("-")[0]: lab.push(one).reference for one in made}
    images |= {f"web asks {whom}": lab.push(image("web", asks=whom)).reference for whom in ("store", "api")}
    stack = Stack(project, images)
    stack.program().up()
    yield stack
    project.close()


@pytest.mark.once
def test_users_of_a_store_move_to_networks_of_their_own_without_a_failed_request(stack: Stack) -> None:
    """The `up` is broken off three times, then it ends. The store keeps its container."""
    assert stack.networks()["store-shared"] == {"store", "other", "web"}
    store = stack.id("store")
    stack.program(former=False)
    with Load(stack.host, SITE, VISITS) as load:
        load.wait("web store")
        for what, look in MOMENTS.items():
            before = stack.host.run(look, check=False).stdout
            process, begun = stack.project.start("up", "--yes", "--skip-preview"), time.monotonic()
            wait_for(what, partial(stack.differs, look, before))
            os.killpg(process.pid, signal.SIGINT)
            stack.project.finish(process, "up", begun)
            load.wait("web store")
        stack.project.up()
        load.wait("web store")
    assert load.failed == []
    assert [*load.seen] == ["web store"]
    assert stack.id("store") == store
    assert stack.networks() == {
        "store": {"store"}, "store-shared": {"store"}, "other": {"other"}, "web": {"web"}, "api": {"api"},
        "web.store": {"web", "store"}, "other.store": {"other", "store"},
    }  # fmt: skip
    stack.project.preview("--expect-no-changes")


@pytest.mark.once
def test_two_users_of_a_store_do_not_reach_each_other_on_any_port(stack: Stack) -> None:
    engine, record = stack.host.engine, stack.host.record
    web = stack.running("web")
    for origin, target, reached in (("other", web, set()), (web, "store", {8080, 8081})):
        asked = dict.fromkeys(stack.addresses(target), scan.ALL)
        found = scan.tcp(scan.container(engine, record, origin), asked)
        assert {port for answers in found.values() for port in answers.open} == reached


@pytest.mark.once
def test_a_use_that_is_dropped_breaks_no_request_of_the_former_release(stack: Stack) -> None:
    with Load(stack.host, SITE, VISITS) as load:
        load.wait("web store")
        stack.program(web="web asks api", uses="api").up()
        load.wait("web api")
    assert load.failed == []
    assert {*load.seen} == {"web store", "web api"}
    networks = stack.networks()
    assert "web.store" not in networks
    assert networks["web.api"] == {"web", "api"}


@pytest.mark.once
def test_a_used_app_answers_throughout_its_release(stack: Stack) -> None:
    """New connections find a release at any time. What the old one has not answered at its end is cut."""
    host = stack.host
    host.write("/run/link_client.py", CLIENT.read_text())
    host.write("/run/resolv.conf", "nameserver 127.0.0.11\n")
    pid = host.run(["docker", "inspect", "-f", "{{.State.Pid}}", stack.running("web")]).stdout.strip()
    inside = "mount --bind /run/resolv.conf /etc/resolv.conf; exec python3 /run/link_client.py /run/link"
    argv = ["nsenter", "-n", "-t", pid, "unshare", "-m", "sh", "-c", inside]
    host.run(["systemd-run", "--quiet", "--collect", *argv])
    wait_for("its client", lambda: host.run("test -e /run/link.going", check=False).returncode == 0)
    before = stack.id(stack.running("web"))
    stack.program(api="api2").up()
    host.run(["touch", "/run/link.stop"])
    wait_for("the client's end", lambda: host.run("test -e /run/link.told", check=False).returncode == 0)
    told = json.loads(host.read("/run/link.told"))
    assert told["failed"] == []
    assert told["again"] <= 1, "the client has one request at a time"
    assert {*told["seen"]} == {"api", "api2"}
    assert told["cut"] == 1
    assert stack.id(stack.running("web")) == before, "who uses it stays"
    stack.project.preview("--expect-no-changes")


def test_what_somebody_changes_by_hand_is_shown_and_mended(stack: Stack) -> None:
    api = stack.running("api")
    stack.host.run(
        ["docker", "run", "-d", "--name", "toolbox", "--network", "web.api", stack.images["store2"]]
    )
    stack.host.run(["docker", "network", "disconnect", "web.api", api])
    try:
        stack.project.preview("--expect-no-changes", fails=True).has(
            'member: "absent" => "joined"', 'toolbox: "joined"'
        )
        stack.project.up()
        assert stack.networks()["web.api"] == {"web", "api"}
        stack.project.preview("--expect-no-changes")
    finally:
        stack.host.run(["docker", "rm", "-f", "toolbox"])
    stack.host.run("docker network disconnect other.store other; docker network disconnect other.store store")
    stack.host.run("docker network rm other.store; docker network create other.store")
    stack.project.up()
    assert stack.networks()["other.store"] == {"other", "store"}
    internal = ["docker", "network", "inspect", "-f", "{{.Internal}}", "other.store"]
    assert stack.host.run(internal).stdout == "true\n"
    stack.project.preview("--expect-no-changes")


@pytest.mark.once
def test_a_store_gets_a_new_image_and_joins_again(stack: Stack) -> None:
    stack.program(store="store2", web="web asks store", uses="store").up()
    fetch = ["docker", "exec", stack.running("web"), "wget", "-q", "-O", "-", "http://store:8080/"]
    assert stack.host.run(fetch).stdout == "store2\n"
    assert stack.networks()["store-shared"] == {"store"}
    stack.project.preview("--expect-no-changes")


@pytest.mark.once
def test_networks_go_with_their_users(stack: Stack) -> None:
    store = stack.id("store")
    stack.program("").up()
    assert stack.networks() == {"store": {"store"}, "store-shared": {"store"}}
    assert stack.id("store") == store
