"""Releases of an app behind a real nginx lose no request under load."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lab.images import Image
from tests.e2e.data.visitors import Load
from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host, Lab

SITE = "app.example.com"
# Those of 5 s are under way when nginx has long turned to the next container.
VISITS = ["/"] * 14 + ["/cgi-bin/slow?5"] * 6
HEALTH = ("/bin/busybox", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/healthz")
# A file in bin/ is executable in the lab's images. The httpd of busybox runs the programs in cgi-bin.
SLOW = "#!/bin/sh\nsleep $QUERY_STRING\nprintf 'Content-Type: text/plain\\n\\nslow version {}\\n'\n"
SOCKET = """#!/bin/sh
printf 'HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n'
while sleep 1; do echo tick; done
"""
DRAIN = 20  # seconds
PROGRAM = """
from portcullis.components import (
    DockerEngine,
    DockerEngineArgs,
    JobsArgs,
    PrivateContainer,
    PrivateContainerArgs,
    ProxiedApp,
    ReverseProxy,
    ReverseProxyArgs,
    SiteArgs,
)
from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import LimitsArgs
from portcullis.host import Host

engine = DockerEngine("docker", DockerEngineArgs(), host=Host("web1", os="debian-13"))
health = {health}
given = PrivateContainerArgs(image="{store}", health_command=health, shared=True)
store = PrivateContainer("mongo", given, engine=engine)
app = PrivateContainer("web", PrivateContainerArgs(
    image="{image}", health_command=health, port=8080, rollout=True,
    healthy_within={within}, jobs=JobsArgs(before=({job!r},)),
), engine=engine, networks=[store.shared])
answers = ProxiedApp(engine.bind_address, app.port, depends_on=[app])
# All visitors of this test come from one address.
unlimited = LimitsArgs(requests=0, connections=0)
sites = {{"{site}": SiteArgs(app="web", tls="none", limits=unlimited)}}
shared = ReverseProxyArgs(drain={drain})
ReverseProxy("nginx", shared, host=Host("web1"), sites=sites, apps={{"web": answers}})
"""


@dataclass
class App:
    """A project with one app, and the image of each version."""

    project: Project
    images: dict[str, str]

    @property
    def host(self) -> Host:
        return self.project.host

    def program(self, version: str, *, job: str = "true", within: int = 120) -> Project:
        return self.project.program(
            PROGRAM.format(
                image=self.images[version], store=self.images["1"], health=HEALTH, within=within, job=job,
                site=SITE, drain=DRAIN,
            )
        )  # fmt: skip

    def page(self) -> str:
        return self.host.run(["curl", "-sf", "-H", f"Host: {SITE}", "http://127.0.0.1/"]).stdout.strip()

    def containers(self) -> dict[str, str]:
        """Return the port of every container except the store, by the container's name."""
        listed = self.host.run("docker ps -a --format '{{.Names}} {{.Ports}}'").stdout.splitlines()
        found = dict(line.partition(" ")[::2] for line in listed)
        return {name: port.partition("->")[0] for name, port in found.items() if name != "mongo"}


def image(version: str) -> Image:
    files = {"bin/www/index.html": f"version {version}\n", "bin/www/cgi-bin/slow": SLOW.format(version)}
    files["bin/www/cgi-bin/socket"] = SOCKET
    if version != "sick":
        files["bin/www/healthz"] = "ok\n"
    server = ("/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/bin/www")
    return Image(
        name="rollout",
        tag=version,
        command=("/bin/busybox", "sh", "-c", "kill -ILL $$") if version == "illegal" else server,
        files={path: text.encode() for path, text in files.items()},
        port=8080,
        # With times of its own: a job that took them would differ, and run again at every `up`.
        healthcheck=("true",),
    )


@pytest.fixture(scope="module")
def app(lab: Lab, module_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    project = Project(tmp_path_factory.mktemp("rollout") / "rollout", module_host, name="rollout")
    versions = {version: lab.push(image(version)).reference for version in ("1", "2", "sick", "illegal")}
    made = App(project, versions)
    made.program("1").up()
    yield made
    project.close()


@pytest.mark.once
def test_no_request_is_lost_while_the_image_changes_twice_and_two_releases_fail_between(app: App) -> None:
    assert app.containers() == {"web-1": "172.17.0.1:28000", "web-before-1-1": ""}
    with Load(app.host, SITE, VISITS) as load:
        load.wait()
        app.program("2", job="echo migrated").up().has("+-3 replaced")
        assert app.page() == "version 2"
        assert app.containers() == {"web-2": "172.17.0.1:28001", "web-before-1-2": ""}

        app.program("sick", within=1).up(fails=True).has(
            'ContainerState "web-state": status: the container web-3 is not healthy after 1 s: starting',
            "nothing that depends on it was changed",
        )
        assert app.page() == "version 2"
        # The job of a release that is stopped there is not one of the containers that serve.
        app.program("1", job="echo no such table >&2; exit 4").up(fails=True).has(
            "the job web-before-1-4 failed: exited 4", "no such table"
        )
        assert app.page() == "version 2"
        assert "web-2" in app.containers()

        app.program("1").up()
        assert app.page() == "version 1"
        load.wait()
    assert load.failed == []
    assert {*load.seen} == {"version 1", "version 2", "slow version 1", "slow version 2"}
    assert [name for name in app.containers() if "before" not in name] == ["web-5"]
    app.project.preview("--expect-no-changes")


def test_limits_that_somebody_changes_are_shown(app: App) -> None:
    assert app.host.run("docker inspect -f '{{.HostConfig.PidsLimit}}' web-5 mongo").stdout.split() == [
        "256",
        "256",
    ]
    app.host.run("docker update --pids-limit -1 --cpus 2 web-5")
    app.project.preview("--expect-no-changes", fails=True).has(
        'pids: "0" => "256"', 'container: "running with 2 CPUs" => "running"', "+-2 to replace"
    )


def test_an_app_reaches_its_store_and_goes_out_by_its_own_network(app: App) -> None:
    def inside(*argv: str) -> str:
        return app.host.run(["docker", "exec", "web-5", "/bin/busybox", *argv]).stdout

    assert inside("wget", "-q", "-O", "-", "http://mongo:8080/") == "version 1\n"
    gateway = app.host.run("docker network inspect -f '{{(index .IPAM.Config 0).Gateway}}' web").stdout
    pid = app.host.run("docker inspect -f '{{.State.Pid}}' web-5").stdout.strip()
    routes = app.host.run(["nsenter", "-n", "-t", pid, "ip", "route", "show", "default"]).stdout
    assert routes.split()[:3] == ["default", "via", gateway.strip()]


def test_a_websocket_of_the_former_release_speaks_until_the_drain_is_over_and_is_cut_off(app: App) -> None:
    pages: list[str] = []

    def listen(line: socket.socket) -> None:
        with contextlib.suppress(ConnectionResetError):
            while line.recv(4096):
                pages.append(app.page())

    with socket.create_connection((app.host.address, 80), timeout=120) as line:
        asked = ("GET /cgi-bin/socket HTTP/1.1", f"Host: {SITE}", "Connection: Upgrade", "Upgrade: websocket")
        line.sendall("\r\n".join([*asked, "", ""]).encode())
        assert line.recv(12) == b"HTTP/1.1 101"
        listener = threading.Thread(target=listen, args=(line,))
        listener.start()
        app.program("2").up()
        listener.join(timeout=120)
        assert not listener.is_alive(), "it is cut off"
    assert pages.count("version 2") > 1, "it still spoke when others saw the new release"
    assert app.page() == "version 2"


def test_a_program_that_ends_at_an_illegal_instruction_is_told_as_that(app: App) -> None:
    done = app.program("illegal").up(fails=True)
    done.has("its program ended at an illegal instruction (exit code 132)", "such as AVX")
