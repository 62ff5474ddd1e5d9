"""A rollout of a new image is broken off at many points.

The site answers all the time, also while a person pastes every command of the report. The next `up` mends it.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lab import images
from tests.e2e.host.watch import on_host, wait_for
from tests.e2e.inventory import report
from tests.e2e.stack.program import PAGE, SITE
from tests.e2e.torture.witness import Visitor

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.e2e.stack.program import Program

_SSHD_ENDS = "systemctl stop ssh.socket ssh.service; pkill -KILL -f '^sshd'"
_READ_ONLY = "mount --bind {0} {0} && mount -o remount,ro,bind {0}"
# A request whose body never comes: nginx's former worker waits for it.
_UNFINISHED = f"POST / HTTP/1.1\r\nHost: {SITE}\r\nContent-Length: 9\r\n\r\n"


@pytest.fixture(scope="module")
def rolled(deployed: Program) -> Program:
    """Deploy an app whose releases have numbers, behind a site without limits for the visitor."""
    deployed.set("apps.hello", hostPort=None)
    deployed.site(SITE, limits={"requests": 0, "connections": 0})
    deployed.up()
    report.walk(deployed)
    report.quiet(deployed, "after the first release")
    return deployed


def up_that_fails(program: Program) -> None:
    """Deploy. No line may name what serves in a command, also not in a message of an error."""
    said = report.read(program, "--yes", verb="up")
    assert said.returncode == 1, said.stdout
    spared(program, (said.stdout + said.stderr).splitlines())


def begun(program: Program) -> subprocess.Popen[str]:
    """Begin to deploy, and wait until the new container runs."""
    before = containers(program)
    process = program.start("up", "--yes", "--skip-preview")
    wait_for("the next release", lambda: containers(program).keys() - before.keys())
    return process


def ended_badly(program: Program, process: subprocess.Popen[str]) -> None:
    outcome = program.finish(process, "up", time.monotonic())
    assert outcome.code, outcome.output
    spared(program, outcome.output.splitlines())


def containers(program: Program) -> dict[str, str]:
    """Return the published port of each running container of the app, by the container's name."""
    listed = program.docker("ps", "--format", "{{.Names}} {{.Ports}}").splitlines()
    return {name: ports.partition("->")[0] for name, _, ports in (line.partition(" ") for line in listed)}


def spared(program: Program, lines: list[str]) -> None:
    """Check that no line has a command that removes or stops what nginx sends requests to."""
    target = re.search(r"server (172\.17\.0\.1:\d+)", program.host.run("nginx -T 2>/dev/null").stdout)
    assert target
    running = {port: name for name, port in containers(program).items()}
    name = running[target[1]]
    number = program.docker("inspect", "-f", "{{.Id}}", name).strip()
    for line in lines:
        if re.search(r"\b(rm|rmi|stop|kill|down|disconnect|prune)\b", line):
            assert not re.search(rf"\b({name}|{number}|{number[:12]})\b", line), (name, line)


def paste(program: Program) -> None:
    """Paste the command of every line."""
    told, follows = report.both(program)
    spared(program, [line.text for line in (*told, *follows)])
    for line in (*told, *follows):
        if line.command:
            program.host.run(line.command, check=False)  # two lines may have the same command
        assert len(line.text) < 300, line.text


@contextmanager
def app(program: Program, **wrong: Any) -> Iterator[None]:
    """Deploy with wrong settings of the app."""
    before = program.config()["config"]["portcullis:apps"]["hello"]
    program.set("apps.hello", **wrong)
    up_that_fails(program)
    yield
    program.set("apps.hello", **{key: before.get(key) for key in wrong})


@contextmanager
def broken_snippet(program: Program) -> Iterator[None]:
    program.site(SITE, snippet="no_such_directive on;")
    up_that_fails(program)
    yield
    program.site(SITE, snippet=None)


@contextmanager
def read_only(program: Program, folder: str) -> Iterator[None]:
    program.host.run(_READ_ONLY.format(folder))
    up_that_fails(program)
    yield
    program.host.run(["umount", "-l", folder])


@contextmanager
def sshd_is_stopped(program: Program) -> Iterator[None]:
    program.host.run(_SSHD_ENDS, check=False)
    up_that_fails(program)
    program.host.run("systemctl start ssh")
    yield


@contextmanager
def sshd_ends_in_the_middle(program: Program) -> Iterator[None]:
    process = begun(program)
    program.host.run(_SSHD_ENDS, check=False)
    ended_badly(program, process)
    program.host.run("systemctl start ssh")
    yield


@contextmanager
def firewall_cuts_the_session(program: Program) -> Iterator[None]:
    rule = f"INPUT -p tcp --dport {program.host.ssh_port} -j REJECT --reject-with tcp-reset"
    process = begun(program)
    program.host.run(f"iptables -I {rule}")
    ended_badly(program, process)
    program.host.run(f"iptables -D {rule}")
    yield


@contextmanager
def engine_is_killed(program: Program) -> Iterator[None]:
    process = begun(program)
    process.kill()
    ended_badly(program, process)
    program.cancel()
    yield


@contextmanager
def interrupted_while_it_drains(program: Program) -> Iterator[None]:
    with socket.create_connection((program.host.address, 80)) as line:
        line.sendall(_UNFINISHED.encode())
        process = begun(program)
        wait_for("nginx's former worker", lambda: on_host(program.host, "worker process is shutting down"))
        os.killpg(process.pid, signal.SIGINT)
        ended_badly(program, process)
    yield


_BREAKS = {
    "image-is-missing": lambda program: app(
        program, image=f"{program.image('hello:1').partition('@')[0]}@sha256:{'0' * 64}"
    ),
    "a-job-fails": lambda program: app(program, jobs={"before": [["/bin/busybox", "false"]]}),
    "it-exits-at-once": lambda program: app(program, command=["/bin/busybox", "false"]),
    "it-is-never-healthy": lambda program: app(program, health="/no-such-page"),
    "broken-snippet": broken_snippet,
    "nginx-is-read-only": lambda program: read_only(program, "/etc/nginx"),
    "records-are-read-only": lambda program: read_only(program, "/var/lib/portcullis"),
    "sshd-is-stopped": sshd_is_stopped,
    "sshd-ends-in-the-middle": sshd_ends_in_the_middle,
    "firewall-cuts-the-session": firewall_cuts_the_session,
    "engine-is-killed": engine_is_killed,
    "interrupted-while-it-drains": interrupted_while_it_drains,
}


@pytest.mark.parametrize("name", _BREAKS)
def test_a_rollout_that_is_broken_off(rolled: Program, name: str) -> None:
    image = images.push(images.hello(name)).reference
    rolled.set("apps.hello", image=image)
    with Visitor(rolled.host, SITE, PAGE) as visitor:
        with _BREAKS[name](rolled):
            paste(rolled)
        said = report.text(rolled, "--yes", verb="up")
        assert not [line for line in said if "undeclared" in line or "stays" in line or "yourself" in line], (
            said
        )
        report.quiet(rolled)
    assert not (visitor.silent + visitor.wrong), (visitor.silent, visitor.wrong)
    assert visitor.answered > 20
    assert f"version {name}" in rolled.page()
    assert len(rolled.docker("ps", "-aq").split()) == 1
