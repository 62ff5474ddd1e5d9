"""A private container and a Redis on a Docker that Portcullis did not install, and does not change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lab.images import Image

if TYPE_CHECKING:
    from lab.pytest_lab import Host, Lab
    from tests.e2e.project import Outcome, Project

BIND = "10.77.0.1"
DAEMON = f'{{"bip": "{BIND}/24", "log-driver": "local"}}\n'
PROGRAM = """
from portcullis.components import (
    ExistingDockerEngine,
    PrivateContainer,
    PrivateContainerArgs,
    Redis,
    RedisArgs,
)
from portcullis.host import Host

engine = ExistingDockerEngine("docker", host=Host("web1"), bind_address="{bind}")
redis = Redis("redis", RedisArgs(image="{redis}", memory=64), engine=engine, overcommit=False)
args = PrivateContainerArgs(
    image="{image}", port=8080, host_port=8081, memory=32, health_command=["/bin/busybox", "true"],
)
app = PrivateContainer("app", args, engine=engine, uses=[redis.uses("app")])
"""
# The facts of the existing Docker and of the container `theirs`. A restart would change a process or a start
# time.
THEIRS = """
stat -c '%n %U:%G %a %Y' /etc/docker /etc/docker/* && cat /etc/docker/daemon.json
systemctl show -p MainPID -p ActiveEnterTimestamp -p UnitFileState docker.service
docker inspect -f '{{.Id}} {{.State.StartedAt}}' theirs
apt-mark showmanual && apt-mark showhold && ls /etc/apt/apt.conf.d /etc/systemd/system
"""


@pytest.fixture(scope="module")
def module_host(docker_host: Host) -> Host:
    return docker_host


def test_what_runs_on_a_docker_of_somebody_else_changes_nothing_of_theirs(
    project: Project, module_host: Host, lab: Lab
) -> None:
    host = module_host
    serve = ("/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/bin/www")
    page = {"bin/www/index.html": b"ours\n"}
    image = lab.push(Image("existing", serve, tag="1", files=page, port=8080)).reference
    host.write("/etc/docker/daemon.json", DAEMON)
    host.run(["systemctl", "restart", "docker"])
    host.run(["docker", "run", "-d", "--name", "theirs", "--restart", "always", image])
    before = host.run(THEIRS).stdout
    assert f"{BIND}/24" in before

    project.program(PROGRAM.format(bind=BIND, image=image, redis=lab.image("redis:7")))
    promised = counted(project.preview(), r"\+ (\d+) to create")
    assert counted(project.up(), r"\+ (\d+) created") == promised
    assert host.run(["curl", "-sf", f"http://{BIND}:8081/"]).stdout == "ours\n"
    listening = host.run("ss -Hltn").stdout
    assert f"{BIND}:8081" in listening
    assert f"{BIND}:6379" in listening
    assert not re.search(r"(?:0\.0\.0\.0|\*|\[::\]):(?:8081|6379)\s", listening)
    told = "cat /proc/$(docker inspect -f '{{.State.Pid}}' app)/root/run/secrets/redis_url"
    assert re.match(r"redis://app-1:\S+@redis:6379/0", host.run(told).stdout)
    project.preview("--expect-no-changes")
    assert host.run(THEIRS).stdout == before

    project.destroy()
    assert host.run("docker ps -a --format '{{.Names}}'").stdout.split() == ["theirs"]
    assert host.run(THEIRS).stdout == before


def counted(outcome: Outcome, how_many: str) -> int:
    """Return the number that the pattern `how_many` finds in the output of a command."""
    found = re.search(how_many, outcome.output)
    assert found, outcome.output
    return int(found[1])
