"""A local user tries to listen on the port of a stopped store.

The kernel refuses this. The agent would send this user no secret.

To test the agent alone, root switches off the kernel's rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.host.watch import wait_for
from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host, Lab

RULE = "net.ipv4.ip_unprivileged_port_start"
PROGRAM = """
from portcullis.components import DockerEngine, DockerEngineArgs, KernelArgs, KernelSettings, Redis, RedisArgs
from portcullis.host import Host

host = Host("web1", os="debian-13")
kernel = KernelSettings("kernel", KernelArgs(only=["net.ipv4."]), host=host)
first = pulumi.ResourceOptions(depends_on=[kernel])
engine = DockerEngine("docker", DockerEngineArgs(), host=host, opts=first)
Redis("redis", RedisArgs(image="{image}", memory=64), engine=engine, overcommit=False)
"""
# Tries to bind every port on every address, and prints the ports that it gets.
PROBE = """\
import itertools, socket
addresses = {socket.AF_INET: ("172.17.0.1", "0.0.0.0"), socket.AF_INET6: ("::",)}
kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
for family, kind, port in itertools.product(addresses, kinds, (6379, 28000, 28999, 32767, 32768)):
    for address in addresses[family]:
        try:
            socket.socket(family, kind).bind((address, port))
            print(port)
        except PermissionError:
            pass
"""
# Records everything that a client sends, and always answers OK.
LISTENER = """\
import socket
made = socket.create_server(("172.17.0.1", 6379))
heard = open("/run/mallory/heard", "wb", buffering=0)
heard.write(b"listens\\n")
while True:
    line, _ = made.accept()
    while piece := line.recv(4096):
        heard.write(piece)
        line.sendall(b"+OK\\r\\n")
"""
HEARD = "/run/mallory/heard"


@pytest.fixture(scope="module")
def standing(module_host: Host, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("impostor") / "impostor", module_host, name="impostor")
    project.program(PROGRAM.format(image=lab.image("redis:7"))).up()
    module_host.run("useradd -u 1002 -M mallory && install -d -o mallory /run/mallory")
    module_host.write("/srv/listener.py", LISTENER)
    yield project
    project.close()


@pytest.mark.once
def test_with_the_rule_in_force_no_local_user_gets_the_port_of_a_container(standing: Project) -> None:
    host = standing.host
    assert host.run(["sysctl", "-n", RULE]).stdout.strip() == "32768"
    host.run("docker stop redis")
    mallory = ["setpriv", "--reuid=1002", "--regid=1002", "--clear-groups"]
    assert host.run([*mallory, "python3", "-c", PROBE]).stdout.split() == ["32768"] * 6
    host.run("docker start redis")


def test_a_container_keeps_its_own_rule(standing: Project) -> None:
    host = standing.host
    assert host.run(f"docker exec redis cat /proc/sys/{RULE.replace('.', '/')}").stdout.strip() == "0"
    # A user that is not root, without capabilities, listens on a low port in the container's own network.
    until_it_answers = "until redis-cli -p 80 ping; do sleep 0.1; done"
    serve = f"redis-server --port 80 --bind 127.0.0.1 --save '' & {until_it_answers}; kill $!"
    said = host.run(["docker", "exec", "-u", "1002:1002", "-w", "/data", "redis", "sh", "-c", serve])
    assert "PONG" in said.stdout


@pytest.mark.once
def test_without_the_rule_the_agent_tells_an_impostor_nothing(standing: Project) -> None:
    host = standing.host
    host.run(["sysctl", "-qw", f"{RULE}=1024"])
    host.run("docker stop redis")
    start = "systemd-run --quiet --collect --unit=backdoor --uid=mallory --working-directory=/"
    host.run(f"{start} python3 /srv/listener.py")
    wait_for("mallory listens", lambda: "listens" in host.run(f"cat {HEARD}", check=False).stdout)
    who = (
        "RedisUser",
        'process "python3" of mallory in backdoor.service (uid 1002, pid',
        "listens at 172.17.0.1:6379 in place of the container redis",
        "docker start redis",
    )
    try:
        standing.preview(fails=True).has("web1: ", *who)
        standing.up(fails=True).has("web1: ", *who)
    finally:
        assert host.read(HEARD) == "listens\n"
    host.run("systemctl stop backdoor")
    # The failed `up` may have brought the rule back already.
    host.run(["sysctl", "-qw", f"{RULE}=1024"])
    standing.preview().has(f'{RULE}: "1024" => "32768"')
    standing.up()
    assert host.run(["sysctl", "-n", RULE]).stdout.strip() == "32768"
    standing.preview("--expect-no-changes")
