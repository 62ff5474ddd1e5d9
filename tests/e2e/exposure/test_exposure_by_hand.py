"""A person opens ports by hand on a finished host.

The next preview shows each port, and which program has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - people bind to it

# A program that listens on a port, outside of any service. Its arguments are FAMILY TYPE ADDRESS PORT.
_LISTENER = """\
#!/usr/bin/python3
import os, socket, sys, time
family, kind, address, port = sys.argv[1:]
made = socket.socket(getattr(socket, family), getattr(socket, kind))
if family == "AF_INET6":
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
made.bind((address, int(port)))
if kind == "SOCK_STREAM":
    made.listen()
open("/run/byhand.pid", "w").write(str(os.getpid()))
time.sleep(3600)
"""


def listen(family: str, kind: str, address: str, port: int) -> str:
    start = f"setsid -f /srv/byhand {family} {kind} {address} {port} >/dev/null 2>&1 </dev/null"
    return f"rm -f /run/byhand.pid; {start}; until [ -s /run/byhand.pid ]; do sleep 0.1; done"


@dataclass(frozen=True)
class Deed:
    """A change by hand: its command, the words that the preview shows, and the command that undoes it."""

    does: str
    shown: tuple[str, ...]
    undone: str


def container(name: str, options: str, port: int = 8080) -> str:
    """Return the command that starts a web server in a container."""
    return f"docker run -d --name {name} {options} IMAGE /bin/busybox httpd -f -p {port} -h /www"


_STOP = "kill $(cat /run/byhand.pid)"
_SECOND_PORT = "/etc/ssh/sshd_config.d/05-second.conf"
DEEDS = {
    "published": Deed(
        container("leak", "-p 3306:8080"),
        ('- tcp4 172.17.0.1:3306: "container \\"leak\\" (',),
        "docker rm -f leak",
    ),
    "published-everywhere": Deed(
        container("leak", "-p 0.0.0.0:3306:8080 -p '[::]:3306:8080'"),
        ('- tcp4 0.0.0.0:3306: "container \\"leak\\" (', '- tcp6 [::]:3306 : "container \\"leak\\" ('),
        "docker rm -f leak",
    ),
    "host-network": Deed(
        container("neighbour", "--user 0 --network host", 8085),
        ("8085", '"container \\"neighbour\\" ('),
        "docker rm -f neighbour",
    ),
    "high-port": Deed(
        listen("AF_INET", "SOCK_STREAM", EVERYWHERE, 47000),
        ('- tcp4 0.0.0.0:47000: "process byhand (root)"',),
        _STOP,
    ),
    "ufw-rule": Deed(
        "ufw allow 9999/tcp",
        ("web1-firewall-policy", '- tcp4 9999: "anywhere"', '- tcp6 9999: "anywhere"'),
        "ufw delete allow 9999/tcp",
    ),
    "filter-deleted": Deed(
        "nft delete table inet portcullis",
        ("web1-firewall-forward", '- any routed: "everything: the filter inet portcullis is not loaded"'),
        "systemctl reload-or-restart portcullis-filter",
    ),
    "iptables": Deed(
        "iptables -I INPUT -p tcp --dport 3306 -j ACCEPT",
        ("- iptables INPUT: -p tcp -m tcp --dport 3306 -j ACCEPT", "accepts before ufw"),
        "iptables -D INPUT -p tcp --dport 3306 -j ACCEPT",
    ),
    "iptables-redirect": Deed(
        "iptables -t nat -I PREROUTING -p tcp --dport 8079 -j REDIRECT --to-ports 22",
        ("iptables nat PREROUTING: -p tcp -m tcp --dport 8079 -j REDIRECT --to-ports 22",),
        "iptables -t nat -D PREROUTING -p tcp --dport 8079 -j REDIRECT --to-ports 22",
    ),
    "table-of-its-own": Deed(
        "nft add table inet mine; nft add chain inet mine in '{ type filter hook input priority -5; }';"
        " nft add rule inet mine in tcp dport 3306 accept",
        ("- nft inet mine in: tcp dport 3306 accept",),
        "nft delete table inet mine",
    ),
    "second-ssh-port": Deed(
        f"echo Port 2222 > {_SECOND_PORT}; systemctl reload ssh",
        ('- tcp4 0.0.0.0:2222: "ssh.service"', '- tcp6 [::]:2222: "ssh.service"'),
        f"rm {_SECOND_PORT}; systemctl reload ssh",
    ),
    "authorized-key": Deed(
        f"echo '{KEY} evil@somewhere' >> /home/deploy/.ssh/authorized_keys",
        ("web1-users-deploy", "evil@somewhere"),
        "sed -i /evil@somewhere/d /home/deploy/.ssh/authorized_keys",
    ),
    "nginx-on-another-port": Deed(
        "echo 'server { listen 8088; }' > /etc/nginx/conf.d/byhand.conf; systemctl reload nginx",
        ('- tcp4 0.0.0.0:8088: "nginx.service"',),
        "rm /etc/nginx/conf.d/byhand.conf; systemctl reload nginx",
    ),
    "ipv6-only": Deed(
        listen("AF_INET6", "SOCK_STREAM", "::", 47001),
        ('- tcp6 [::]:47001: "process byhand (root)"',),
        _STOP,
    ),
    "udp": Deed(
        listen("AF_INET", "SOCK_DGRAM", EVERYWHERE, 5353),
        ('- udp4 0.0.0.0:5353: "process byhand (root)"',),
        _STOP,
    ),
    "network-by-hand": Deed(
        "docker network create -o com.docker.network.bridge.name=shop0 byhand;"
        + container("shop", "--network byhand"),
        ('- byhand: "container \\"shop\\" (',),
        "docker rm -f shop; docker network rm byhand",
    ),
    "macvlan": Deed(
        "docker network create -d macvlan -o parent=eth0 --subnet 198.51.100.0/24"
        " --ip-range 198.51.100.240/29 lan;" + container("shop", "--network lan"),
        ('- lan: "container \\"shop\\" (', "past every filter of the host (macvlan)"),
        "docker rm -f shop; docker network rm lan",
    ),
}  # fmt: skip


def quiet(program: Program) -> None:
    """Assert that a preview finds no difference and no undeclared port."""
    program.preview("--expect-no-changes").lacks("Exposure: (refresh)")


@pytest.fixture(scope="module")
def finished(deployed: Program) -> Program:
    """A finished host with an app and a site, and a program that can listen on any port."""
    deployed.host.write("/srv/byhand", _LISTENER)
    deployed.host.run("chmod 0755 /srv/byhand")
    quiet(deployed)
    return deployed


@pytest.mark.parametrize("deed", DEEDS)
def test_what_is_opened_by_hand_shows_with_its_owners_name(finished: Program, deed: str) -> None:
    did = DEEDS[deed]
    finished.host.run("set -e; " + did.does.replace("IMAGE", finished.image("hello:1")))
    try:
        said = finished.preview("--expect-no-changes", fails=True)
        said.has(*did.shown)
    finally:
        finished.host.run(did.undone)


def test_what_was_undone_by_hand_is_seen_no_more(finished: Program) -> None:
    quiet(finished)


def test_an_up_warns_deletes_what_it_has_to_and_leaves_what_it_found(finished: Program) -> None:
    finished.site("second.example.com", app="hello", tls="none")
    finished.up()
    finished.host.run(container("leak", "-p 3306:8080").replace("IMAGE", finished.image("hello:1")))
    config = finished.config()
    del config["config"]["portcullis:sites"]["second.example.com"]
    finished.write(config)

    said = finished.up().has('warning: undeclared: tcp4 172.17.0.1:3306 by container "leak" (')
    assert "deleted" in said.output
    assert "second" not in finished.host.run("ls /etc/nginx/conf.d").stdout
    assert finished.docker("inspect", "leak", "--format", "{{.State.Running}}") == "true\n"
    finished.preview("--expect-no-changes", fails=True).has("- tcp4 172.17.0.1:3306")

    why = "tried for a day"
    both = {
        "exposure": {"accept": {"tcp4 172.17.0.1:3306": why}},
        "inventory": {"accept": {"container leak": why}},
    }
    finished.set("hosts.web1", **both)
    finished.up()
    quiet(finished)
    finished.docker("rm", "-f", "leak")
    finished.set("hosts.web1", inventory=None)
    finished.up()
    quiet(finished)
    finished.set("hosts.web1", exposure=None)
    finished.up()
