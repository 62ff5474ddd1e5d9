"""`dockerEngine: {source: present}`: an installed Docker stays, and gets our daemon.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lab.images import Image

if TYPE_CHECKING:
    from lab.pytest_lab import Host, Lab
    from tests.e2e.project import Project

PROGRAM = """
from portcullis.components import DockerEngine, DockerEngineArgs, PrivateContainer, PrivateContainerArgs
from portcullis.host import Host

engine = DockerEngine("docker", DockerEngineArgs(source="present"), host=Host("web1", os="debian-13"))
args = PrivateContainerArgs(
    image="{image}", port=8080, host_port=8081, memory=32, health_command=["/bin/busybox", "true"],
)
PrivateContainer("app", args, engine=engine)
"""
PACKAGES = "dpkg-query -W; apt-mark showmanual"
DROP_IN = "/etc/systemd/system/docker.service.d/api.conf"


def test_an_engine_that_is_there_keeps_its_packages_and_gets_our_settings(
    project: Project, module_host: Host, lab: Lab
) -> None:
    host = module_host
    serve = ("/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/bin/www")
    page = {"bin/www/index.html": b"ours\n"}
    image = lab.push(Image("present", serve, tag="1", files=page, port=8080)).reference
    project.program(PROGRAM.format(image=image))
    # Before anything is written.
    failed = project.up(fails=True)
    failed.has("web1: ", "no Docker runs on the host", "which-versions-will-do").lacks("daemon.json creating")

    host.run("apt-get update -q && apt-get install -qy --no-install-recommends docker.io docker-cli")
    before = host.run(PACKAGES).stdout
    project.up()
    daemon = json.loads(host.read("/etc/docker/daemon.json"))
    assert (daemon["ip"], daemon["icc"]) == ("172.17.0.1", False)
    assert host.run(["curl", "-sf", "http://172.17.0.1:8081/"]).stdout == "ours\n"
    project.preview("--expect-no-changes")

    # Their engine no longer speaks what Pulumi's plugin does.
    host.run(f"mkdir -p {DROP_IN.rpartition('/')[0]}")
    host.write(DROP_IN, "[Service]\nEnvironment=DOCKER_MIN_API_VERSION=1.53\n")
    host.run("systemctl daemon-reload; systemctl reset-failed docker; systemctl restart docker")
    words = "speaks the versions 1.40 to 1.51 of Docker's API, and the host speaks 1.53 to 1.56"
    project.up(fails=True).has("web1: ", "cannot talk to Docker 29.8.2 on the host", words)
    host.run(
        f"rm {DROP_IN}; systemctl daemon-reload; systemctl reset-failed docker; systemctl restart docker"
    )
    project.up()
    project.preview("--expect-no-changes")

    project.destroy()
    assert host.run(PACKAGES).stdout == before
    assert host.run("systemctl is-active docker").stdout == "active\n"
    assert host.run("ls /etc/docker").stdout == ""
