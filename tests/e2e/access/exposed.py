"""Makes a host whose containers publish ports carelessly, and scans these ports from four places."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab import images, scan
from tests.e2e.host.watch import wait_for

if TYPE_CHECKING:
    from lab.pytest_lab import Host, Lab

BIND = "172.17.0.1"
WEB = frozenset({80, 443})
OWN = frozenset({22}) | WEB
"""What a host serves itself; everything else that answers is a container's."""

# Networks that people made, all with IPv6: one with a chosen bridge name, and two whose bridge Docker names.
_NETWORKS = """\
docker network create --ipv6 --subnet 172.30.0.0/24 --subnet fd00:30::/64 \
    -o com.docker.network.bridge.name=shop0 shop
docker network create --ipv6 --subnet 172.31.0.0/24 --subnet fd00:31::/64 plain
docker network create --ipv6 --subnet 172.29.0.0/24 --subnet fd00:29::/64 alien
"""
# Some containers publish ports for the host only, some on all interfaces, some not at all.
_CONTAINERS = """\
run() { docker run --detach --restart always --no-healthcheck --stop-signal KILL --name "$@"; }
run app -p 172.17.0.1:2019:8080 IMAGE
run byhand -p 0.0.0.0:8081:8080 -p 0.0.0.0:8053:8053/udp -p '[::]:8081:8080' IMAGE
run shop --network shop --ip 172.30.0.10 --ip6 fd00:30::10 -p 0.0.0.0:8082:8080 -p '[::]:8082:8080' IMAGE
run peer --network shop --ip 172.30.0.11 --ip6 fd00:30::11 IMAGE
run plain --network plain --ip 172.31.0.10 --ip6 fd00:31::10 -p 172.17.0.1:2020:8080 IMAGE
run alien --network alien --ip 172.29.0.10 --ip6 fd00:29::10 IMAGE
run stranger IMAGE
"""
# A UDP echo server, which runs in the network of the container that publishes its port.
_ECHO = """\
#!/usr/bin/python3
import socket
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.bind(("0.0.0.0", 8053))
while True:
    asked.sendto(*asked.recvfrom(2000))
"""
_ECHO_UNIT = """\
[Service]
ExecStart=/bin/sh -c 'exec nsenter --net=/proc/$(docker inspect -f {{.State.Pid}} byhand)/ns/net /root/echo'
Restart=always
RestartSec=0.2
StartLimitBurst=1000
PartOf=docker.service
[Install]
WantedBy=multi-user.target
"""
# A web server in place of nginx, for ports 80 and 443.
_WEB_UNIT = """\
[Service]
ExecStart=/usr/bin/python3 -m http.server --bind :: --directory /run/lock %i
[Install]
WantedBy=multi-user.target
"""
_UFW = "ufw allow 22/tcp; ufw allow 80/tcp; ufw allow 443/tcp; ufw --force enable"

Reached = set[str]


@dataclass
class Exposed:
    """A host with published containers, and the places that scan the host.

    Attributes:
        addresses: the ports to scan, by address.
        own: the addresses of each container.
    """

    host: Host
    addresses: dict[str, list[int]] = field(default_factory=dict)
    own: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def make(cls, host: Host, lab: Lab) -> Exposed:
        """Start the networks, the containers and the web server on a host that has Docker and ufw."""
        image = lab.push(images.hello("1")).reference
        host.write("/root/echo", _ECHO)
        host.write("/etc/systemd/system/echo.service", _ECHO_UNIT)
        host.write("/etc/systemd/system/web@.service", _WEB_UNIT)
        host.run(f"set -e; docker pull -q {image}; {_NETWORKS}{_CONTAINERS.replace('IMAGE', image)}")
        host.run("chmod 0755 /root/echo; systemctl daemon-reload; systemctl enable --now echo web@80 web@443")
        host.run(_UFW)
        made = cls(host)
        made.settled()
        return made

    @property
    def is_docker29(self) -> bool:
        """Whether the host runs Docker 29. Debian has Docker 20.10 and 26."""
        return self.host.run("docker version --format '{{.Server.Version}}'").stdout.startswith("29.")

    def settled(self) -> None:
        """Wait until every container serves again, and note where."""
        names = ("app", "byhand", "shop", "peer", "plain", "alien", "stranger")
        wait_for("the containers", lambda: len(self._running()) == len(names))
        self.addresses = {
            self.host.address: [*OWN, 23, 2019, 2020, 8080, 8081, 8082],
            self.host.address6: [*OWN, 23, 2019, 2020, 8080, 8081, 8082],
            BIND: [2019, 2020, 8080, 8081, 8082],
        }
        self.own = {name: self._of(name) for name in names}
        self.addresses |= {address: [8080] for name in names for address in self.own[name]}
        wait_for("they serve", lambda: all(self._serves(name) for name in ("app", "shop", "plain")))
        wait_for("the web serves", lambda: self._listens() >= OWN)

    def _running(self) -> list[str]:
        return self.host.run("docker ps --quiet --filter status=running", check=False).stdout.split()

    def _of(self, container: str) -> list[str]:
        networks = json.loads(self.host.run(["docker", "inspect", container]).stdout)[0]["NetworkSettings"]
        return [
            network[key]
            for network in networks["Networks"].values()
            for key in ("IPAddress", "GlobalIPv6Address")
            if network[key]
        ]

    def _serves(self, container: str) -> bool:
        url = f"http://{self.own[container][0]}:8080/healthz"
        return self.host.run(["curl", "-s", "--max-time", "1", url], check=False).stdout == "ok\n"

    def _listens(self) -> set[int]:
        return {
            int(line.split()[3].rpartition(":")[2]) for line in self.host.run("ss -Hltn").stdout.splitlines()
        }

    def place(self, name: str) -> scan.Origin:
        """Return a place to scan from: the internet, the neighbour or a container."""
        if name == "internet":
            return scan.internet()
        if name == "neighbour":
            return scan.neighbour(self.host.record)
        return scan.container(self.host.engine, self.host.record, name)

    def reached(self) -> dict[str, Reached]:
        """Return the ports of containers that each place reaches, as `ADDRESS PORT`.

        The host's own ports are left out.
        """
        with ThreadPoolExecutor(4) as pool:
            return dict(zip(PLACES, pool.map(self._reached_from, PLACES), strict=True))

    def _reached_from(self, name: str) -> Reached:
        # A container may reach its own address.
        own = self.own.get(name, [])
        targets = {address: ports for address, ports in self.addresses.items() if address not in own}
        tcp, udp = scan.both(self.place(name), targets, {self.host.address: [8053], BIND: [8053]})
        reached = {self._spelled(address, port) for address in tcp for port in tcp[address].open}
        reached |= {f"{self._spelled(address, port)}/udp" for address in udp for port in udp[address].open}
        own_ports = {self._spelled(a, port) for a in (self.host.address, self.host.address6) for port in OWN}
        return reached - own_ports

    def _spelled(self, address: str, port: int) -> str:
        names = {self.host.address: "host", self.host.address6: "host6"}
        return f"{names.get(address, address)} {port}"

    def proxied(self) -> dict[str, Reached]:
        """Return the ports that docker-proxy serves, by the place that reaches them.

        docker-proxy listens on sockets of the host, so ufw protects these ports and no forward chain does.
        Docker sends connections from containers to docker-proxy. If Docker writes no IPv6 rules, all IPv6
        connections go to docker-proxy too.
        """
        outside = {"host6 8081", "host6 8082"}
        published = {f"{BIND} {port}" for port in (2019, 2020, 8081, 8082)} | {"host 8081", "host 8082"}
        return {
            "neighbour": outside,
            "internet": outside,
            "stranger": published | {f"{BIND} 8053/udp"},
            "alien": published | outside,
        }

    def everything_open(self) -> dict[str, frozenset[int]]:
        """Scan all 65,535 TCP ports of the host from each place, over IPv4 and IPv6.

        Return the open ports.
        """

        def ask(name: str) -> dict[str, frozenset[int]]:
            # docker0 has no IPv6.
            addresses = [self.host.address] + [self.host.address6] * (name != "stranger")
            found = scan.tcp(self.place(name), dict.fromkeys(addresses, scan.ALL))
            return {f"{name} {address}": found[address].open for address in addresses}

        with ThreadPoolExecutor(2) as pool:
            return {place: ports for found in pool.map(ask, PLACES) for place, ports in found.items()}


# The container "alien" has its own network. The container "stranger" is on docker0.
PLACES = ("neighbour", "internet", "stranger", "alien")
NOTHING: dict[str, Reached] = {name: set() for name in PLACES}
