"""The scan of a real host passes after a deployment, and fails for a port that somebody opens by hand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lab import keys, network
from tests.e2e.host.watch import wait_for
from tests.e2e.project import STACK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.pytest_lab import Host
    from tests.e2e.stack.program import Program

# Starts programs that listen: on every address, on IPv6 only, a second sshd, nginx on another port, and two
# containers.
BY_HAND = """\
systemd-run --quiet --unit=high python3 -m http.server --bind :: --directory /run/lock 31337
systemd-run --quiet --unit=six python3 -c 'import socket as k, time
s = k.socket(k.AF_INET6); s.setsockopt(41, 26, 1); s.bind(("::", 9000)); s.listen(); time.sleep(999)'
mkdir -p /run/sshd; systemd-run --quiet --unit=second /usr/sbin/sshd -D -p 2222
echo 'server { listen 8090; return 204; }' >/etc/nginx/conf.d/byhand.conf; nginx -s reload
docker run --detach --name leak --no-healthcheck -p 0.0.0.0:3306:8080 IMAGE
docker run --detach --name whole --no-healthcheck --user 0 --network host \\
    --entrypoint /bin/busybox IMAGE httpd -f -p 8888
"""
OPENED = "ufw allow 31337/tcp; ufw allow 9000/tcp; ufw allow 2222/tcp; ufw allow 8090/tcp; ufw allow 8888/tcp"
_ELSEWHERE = """\
Host elsewhere
    HostName {other.address}
    User root
    IdentityFile {other.identity_file}
    IdentitiesOnly yes
    UserKnownHostsFile {known}
    StrictHostKeyChecking yes
"""
GONE = """\
systemctl stop high six second; rm /etc/nginx/conf.d/byhand.conf; nginx -s reload; docker rm -f leak whole
"""


@pytest.fixture(scope="module")
def gated(deployed: Program) -> Program:
    # The scan reads the version of the undeclared second sshd, which fail2ban would count as a failed login.
    outside = [network.INTERNET_ADDRESS.v4, network.INTERNET_ADDRESS.v6]
    deployed.set("hosts.web1", addressV6=deployed.host.address6, fail2ban={"ignore": outside})
    deployed.up()
    return deployed


def scan(program: Program, *arguments: str, reached: bool = True) -> tuple[int, str]:
    """Run the gate from the internet, as people do, once the way there is known by both families."""
    for address in (program.host.address, program.host.address6) if reached else ():
        wait_for(f"a way to {address}", lambda: "Hello" in program.page(address=address), 60)  # noqa: B023
    argv = [sys.executable, "-m", "portcullis", "scan", "--stack", STACK, "--rate", "50000", *arguments]
    done = subprocess.run(
        ["ip", "netns", "exec", network.INTERNET, *argv],
        cwd=program.folder, env=program.env, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def undeclared(said: str) -> set[tuple[int, int]]:
    """Return the IP version and the number of each port that the scan reports as undeclared."""
    found = re.findall(
        r"^FAIL: web1 (\S+): port (\d+)/tcp is open and nobody declared it", said, re.MULTILINE
    )
    return {(6 if ":" in address else 4, int(port)) for address, port in found}


def test_the_host_as_deployed_is_green_and_says_so_in_json(gated: Program, tmp_path: Path) -> None:
    code, said = scan(gated, "--json", str(tmp_path / "scan.json"))
    assert code == 0, said
    assert said.splitlines()[-1] == "open ports and certificates are as declared"
    host: dict[str, Any] = json.loads((tmp_path / "scan.json").read_text())["hosts"]["web1"]
    assert set(host["addresses"]) == {gated.host.address, gated.host.address6}
    for rows in host["addresses"].values():
        # Port 443 is open, because nginx refuses TLS handshakes for unknown names there.
        assert [row["what"] for row in rows] == ["22/tcp", "80/tcp", "443/tcp"]
    # As root the scan checks only whether SSH answers, because sshd counts each begun login as a failure.
    assert re.search(r"^    ok  22/tcp +open +SSH$", said, re.MULTILINE), said


def test_what_is_started_by_hand_is_red_once_it_is_reached(gated: Program) -> None:
    host = gated.host
    host.run(BY_HAND.replace("IMAGE", gated.image("hello:1")))
    listening = "ss -Hltn | grep -c -E ':(31337|9000|2222|8090|3306|8888) '"
    wait_for("all of it listens", lambda: int(host.run(listening, check=False).stdout) >= 7)
    # Behind firewall and filter nobody reaches any of it.
    code, said = scan(gated)
    assert code == 0, said
    # Somebody opens them, and deletes the filter.
    host.run(f"{OPENED}; nft delete table inet portcullis")
    code, said = scan(gated)
    assert code == 1, said
    both = {(family, port) for family in (4, 6) for port in (31337, 2222, 8888)}
    assert undeclared(said) == both | {(6, 9000), (4, 8090), (4, 3306)}, said
    for told in (
        "port 2222/tcp is open and nobody declared it; ssh: SSH-2.0",
        "; http: HTTP/1.1 204 No Content",
    ):
        assert told in said
    assert "docker ps --filter publish=3306" in said
    # What `up` takes back is closed again; what was started is only no longer reached.
    gated.up()
    code, said = scan(gated)
    assert code == 0, said
    host.run(GONE)


def test_from_another_host_the_same_is_asked_and_nothing_stays_there(
    gated: Program, make_module_host: Callable[[], Host], tmp_path: Path
) -> None:
    other = make_module_host()
    other.run("useradd --create-home scout && cp -r /root/.ssh ~scout/ && chown -R scout: ~scout/.ssh")
    config = tmp_path / "ssh_config"
    config.write_text(_ELSEWHERE.format(other=other, known=keys.known_hosts(other.name, other.address)))
    there = ("--from", "elsewhere", "--ssh=-F", f"--ssh={config}")
    files = "find /tmp /var/tmp /root /home -newer /etc/hostname -type f | sort"
    before = other.run(files).stdout
    code, said = scan(gated, *there)
    assert code == 0, said
    assert f"all ports scanned from {other.name} with raw SYN packets" in said
    # What is open to that neighbour only is seen from there and from nowhere else.
    gated.host.run(
        f"ufw allow from {other.address} to any port 31337 proto tcp;"
        " systemd-run --quiet --unit=near python3 -m http.server --bind :: --directory /run/lock 31337"
    )
    wait_for("it listens", lambda: ":31337" in gated.host.run("ss -Hltn").stdout)
    code, said = scan(gated)
    assert code == 0, said
    code, said = scan(gated, *there)
    assert code == 1, said
    assert undeclared(said) == {(4, 31337)}, said
    # Without root on that machine, the scan makes full connections.
    code, said = scan(gated, *there, "--ssh=-l", "--ssh=scout", "--ports", "80-90,31337", "--family", "4")
    assert code == 1, said
    assert f"scanned from {other.name} with full connections" in said
    assert undeclared(said) == {(4, 31337)}, said
    gated.host.run(f"systemctl stop near; ufw delete allow from {other.address} to any port 31337 proto tcp")
    assert other.run(files).stdout == before


def test_a_host_that_is_gone_is_no_closed_host(gated: Program) -> None:
    gated.host.run("ufw insert 1 deny in from 198.18.0.0/15")
    code, said = scan(gated, "--family", "4", "--ports", "1-1000", reached=False)
    gated.host.run("ufw delete deny in from 198.18.0.0/15")
    assert code == 2, said
    assert "web1: nothing answers at" in said


def test_at_the_end_of_up_a_declared_port_has_to_answer(gated: Program) -> None:
    gated.set("hosts.web1", probe=True, firewall={"allow": {"8443/tcp": {}}})
    failed = gated.up(fails=True)
    failed.has("port 8443/tcp is declared (a program of the host) but does not answer")
    gated.host.run(
        "systemd-run --quiet --unit=wanted python3 -m http.server --bind :: --directory /run/lock 8443"
    )
    # The unit is accepted as it is now: before it was there, this would accept only that it is absent.
    gated.set("hosts.web1", inventory={"accept": {"unit wanted.service": "it listens for this test"}})
    gated.up()
    gated.unchanged()
    state = json.loads((gated.folder / "state/.pulumi/stacks/portcullis" / f"{STACK}.json").read_text())
    (command,) = [
        resource
        for resource in state["checkpoint"]["latest"]["resources"]
        if resource["type"] == "command:local:Command"
    ]
    assert command["outputs"]["stdout"] == "open ports and certificates are as declared"
    assert gated.host.address not in json.dumps(command), "the state must not have the address of a host"
