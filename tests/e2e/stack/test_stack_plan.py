"""`portcullis plan` shows what the first `up` would change on a host, and changes nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.e2e.project import STACK
from tests.e2e.stack import snapshot

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program


def plan(program: Program) -> subprocess.CompletedProcess[str]:
    program._ensure_stack()
    return subprocess.run(
        [sys.executable, "-m", "portcullis", "plan", "--stack", STACK],
        cwd=program.folder, env=program.env, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


def test_what_is_there_and_differs_is_shown_and_refused_until_it_is_adopted(program: Program) -> None:
    host = program.host
    host.run("mkdir -p /etc/docker; echo '{\"icc\": true}' > /etc/docker/daemon.json")
    before = snapshot.take(host)

    said = plan(program)
    assert said.returncode == 1, said.stdout + said.stderr
    assert "Traceback" not in said.stderr
    lines = said.stdout.splitlines()
    assert "! web1: File web1-docker-daemon.json" in lines
    assert '    -{"icc": true}' in lines
    assert any("adopt" in line for line in lines)
    assert "~ web1: Packages web1-docker-packages" in lines
    assert "    packages.docker.io: 'absent' => 'installed'" in lines
    assert "~ web1: File web1-nginx-hello.example.com" in lines
    # The agent is kept on the host for the next time; nothing else is new.
    changed = snapshot.differences(before, snapshot.take(host))
    assert not [fact for fact in changed if " /var/lib/portcullis" not in fact]
    assert host.run("ls /var/lib/portcullis").stdout == "agent\n"

    # The up says the same, and stops there.
    program.up(fails=True).has("web1-docker-daemon.json", '-{"icc": true}', "adopt")
    assert host.read("/etc/docker/daemon.json") == '{"icc": true}\n'

    program.set("hosts.web1", adopt=True)
    said = plan(program)
    assert said.returncode == 0, said.stdout
    assert "~ web1: File web1-docker-daemon.json" in said.stdout.splitlines()
    program.up()
    assert "Hello" in program.page()

    said = plan(program)
    assert said.returncode == 0, said.stdout
    assert {line[0] for line in said.stdout.splitlines()} == {"="}, said.stdout

    program.destroy()
    assert host.read("/etc/docker/daemon.json") == '{"icc": true}\n', "what stood there before is lost"


def test_a_host_that_cannot_be_reached_is_one_message_a_resource(program: Program) -> None:
    program.set("hosts.web1", address="198.51.100.253")
    said = plan(program)
    assert said.returncode == 1
    assert "Traceback" not in said.stdout + said.stderr
    assert "web1" in said.stdout
