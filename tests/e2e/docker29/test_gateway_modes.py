"""Docker 28 and later have several gateway modes for a network.

In none of them, an undeclared port is reachable.

Without the table of the forward filter, the same scan reaches the ports.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lab import docker29, images, scan
from lab.network import REGISTRY_ADDRESS
from tests.e2e.access.test_reach import PROGRAM, WITH, WITHOUT
from tests.e2e.host.watch import wait_for
from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host, Lab

MODES = ("nat", "nat-unprotected", "routed", "isolated")
PUBLISHED = {"nat": (9000,), "nat-unprotected": (9001,), "routed": (), "isolated": ()}
BACKEND = docker29.VARIANTS[docker29.asked_for()]
REGISTRY = REGISTRY_ADDRESS.v4
_OPTION = "com.docker.network.bridge"
# Networks and containers as people start them: one for each mode, over IPv4 and IPv6, with published ports.
_NETWORK = """\
docker network create --ipv6 {internal} --subnet 172.28.{n}.0/24 --subnet fd00:28:{n}::/64 \
    -o {option}.name=gw{n} -o {option}.gateway_mode_ipv4={mode} -o {option}.gateway_mode_ipv6={mode} {mode}
docker run --detach --restart always --no-healthcheck --stop-signal KILL --name {mode} --network {mode} \
    --ip 172.28.{n}.10 --ip6 fd00:28:{n}::10 {ports} {image}
"""
_UFW = "ufw allow 22/tcp; ufw --force enable"


@dataclass(frozen=True)
class Modes:
    """A host with one network for each gateway mode, and a container in each network."""

    project: Project
    host: Host

    def inside(self, mode: str) -> tuple[str, str]:
        n = MODES.index(mode)
        return f"172.28.{n}.10", f"fd00:28:{n}::10"

    def place(self, name: str) -> scan.Origin:
        if name == "internet":
            return scan.internet()
        if name == "neighbour":
            return scan.neighbour(self.host.record)
        return scan.container(self.host.engine, self.host.record, name)

    def reached(self) -> dict[str, set[str]]:
        """Return what each place reaches: containers, by the mode of their network, and published ports."""

        def ask(name: str) -> set[str]:
            targets = {address: [8080] for mode in MODES if mode != name for address in self.inside(mode)}
            ports = [port for found in PUBLISHED.values() for port in found]
            targets |= {self.host.address: ports, self.host.address6: ports}
            found = scan.tcp(self.place(name), targets)
            spelled = {self.host.address: "host", self.host.address6: "host6"}
            spelled |= {address: mode for mode in MODES for address in self.inside(mode)}
            families = {address: "" if "." in address else "6" for address in targets}
            return {
                f"{spelled[address]} {port}" if port != 8080 else f"{spelled[address]}{families[address]}"
                for address, answers in found.items()
                for port in answers.open
            }

        places = ("neighbour", "internet", *MODES)
        with ThreadPoolExecutor(4) as pool:
            return dict(zip(places, pool.map(ask, places), strict=True))

    def settled(self) -> None:
        """Wait until every container serves to the host; the isolated one has no way to it."""
        for mode in MODES[:3]:
            urls = [
                f"http://{self.inside(mode)[0]}:8080/healthz",
                f"http://[{self.inside(mode)[1]}]:8080/healthz",
            ]
            for url in urls:
                curl = ["curl", "-s", "--max-time", "1", url]
                wait_for(url, lambda curl=curl: self.host.run(curl, check=False).stdout == "ok\n")

    def without_our_table(self) -> dict[str, set[str]]:
        self.host.run(WITHOUT)
        try:
            return self.reached()
        finally:
            self.host.run(WITH)


NOTHING: dict[str, set[str]] = {name: set() for name in ("neighbour", "internet", *MODES)}


@pytest.fixture(scope="module")
def modes(module_host: Host, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Modes]:
    """Deploy the forward filter to a host without ufw, and start the containers."""
    # With the nftables backend Docker does not switch on IP forwarding itself, but needs it to start:
    # https://docs.docker.com/engine/network/firewall-nftables/
    module_host.run("sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    project = Project(tmp_path_factory.mktemp("gateways") / "gateways", module_host, name="gateways")
    project.program(PROGRAM.format(os="debian-13", policy="")).up()
    image = lab.push(images.hello("1")).reference
    module_host.run(f"docker pull -q {image}")
    for n, mode in enumerate(MODES):
        ports = " ".join(f"-p 0.0.0.0:{port}:8080 -p [::]:{port}:8080" for port in PUBLISHED[mode])
        internal = "--internal" if mode == "isolated" else ""
        ports = ports or ("-p 8080" if mode == "routed" else "")
        module_host.run(
            _NETWORK.format(n=n, mode=mode, internal=internal, ports=ports, image=image, option=_OPTION)
        )
    made = Modes(project, module_host)
    made.settled()
    yield made
    project.close()


def test_the_engine_is_what_was_asked_for(modes: Modes) -> None:
    said = modes.host.run("docker version --format '{{.Server.Version}} {{.Client.Version}}'").stdout.split()
    assert [version.partition(".")[0] for version in said] == ["29", "29"]
    tables = modes.host.run("nft list tables").stdout
    assert ("table ip docker-bridges" in tables) == (BACKEND == "nftables")


def test_no_mode_lets_in_what_is_not_declared(modes: Modes) -> None:
    assert modes.reached() == NOTHING
    found = modes.without_our_table()
    # Docker itself keeps unpublished ports of the first kind from those outside. The routed one publishes by
    # IPv4 alone: so do we by daemon.json, where no address is named.
    assert found["neighbour"] == {
        "nat-unprotected", "nat-unprotected6", "routed",
        "host 9000", "host 9001", "host6 9000", "host6 9001",
    }  # fmt: skip
    assert found["internet"] >= {"host 9000", "host 9001"}
    # A neighbour in another network, too.
    assert found["nat"] >= {"nat-unprotected", "routed"}
    assert found["isolated"] == set()


def test_the_same_after_a_restart_of_docker_and_with_ufw(modes: Modes) -> None:
    modes.host.run("systemctl restart docker")
    modes.settled()
    assert modes.reached() == NOTHING
    modes.host.run(_UFW)
    try:
        assert modes.reached() == NOTHING
        modes.host.run("ufw reload")
        assert modes.reached() == NOTHING
    finally:
        modes.host.run("ufw disable")


def test_what_is_declared_public_is_reached_and_the_way_out_is_open(modes: Modes) -> None:
    policy = 'public={"9000/tcp": [], "9001/tcp": ["2001:db8:100::/64"]},'
    modes.project.program(PROGRAM.format(os="debian-13", policy=policy)).up()
    reached = modes.reached()
    assert reached["internet"] == {"host 9000", "host6 9000"}
    assert reached["neighbour"] == {"host 9000", "host6 9000", "host6 9001"}
    out = {
        mode: scan.tcp(modes.place(mode), {REGISTRY: [5000]})[REGISTRY].open == {5000} for mode in MODES[:2]
    }
    assert out == {"nat": True, "nat-unprotected": True}
    modes.project.program(PROGRAM.format(os="debian-13", policy="")).up()
    assert modes.reached() == NOTHING
