"""Tests the forward filter on a real host.

No container is reachable from four places, whatever Docker and ufw do.

The tests also prove that the filter is the reason why nobody reaches the containers. The tests delete the
filter's nftables table, and the same scan then reaches the containers. After the scan the tests load the
table again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import scan
from lab.network import GATEWAY_ADDRESS, REGISTRY_ADDRESS
from portcullis.components.firewall import metadata
from portcullis.components.firewall.facts import UNIT
from portcullis.components.firewall.render.forward_filter import PATH
from tests.e2e.access.exposed import BIND, NOTHING, OWN, Exposed
from tests.e2e.host.watch import wait_for
from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.pytest_lab import Host, Lab

# Connects to addresses and ports as a user, and prints those that answer.
CONNECT = """
import os, socket, sys
os.setuid(int(sys.argv[1]))
for place in sys.argv[2:]:
    address, port = place.split()
    try:
        socket.create_connection((address, int(port)), 5).close()
        print(place)
    except ConnectionRefusedError:
        pass
"""
PROGRAM = """
from portcullis.components import ForwardFilter
from portcullis.components.docker import render as daemon_json
from portcullis.dialect import DIALECTS
from portcullis.components.firewall.render.forward_filter import ForwardPolicy, table

HOST = {{"22/tcp": [], "80/tcp": [], "443/tcp": [], "60000-61000/udp": ["2001:db8:9::/48", "203.0.113.7"]}}
dialect = DIALECTS[{os!r}]
packages = Packages("packages", host="web1", names=[*dialect.docker_packages, "nftables", "ufw"])
forward = ForwardFilter("filter", host="web1", table=table(ForwardPolicy(host=HOST, {policy})),
                        opts=pulumi.ResourceOptions(depends_on=[packages]))
config = File("config", host="web1", path=daemon_json.PATH, adopt=True,
              content=daemon_json.daemon_json(dialect, "172.17.0.1/16"),
              opts=pulumi.ResourceOptions(depends_on=[packages]))
docker = Service("docker", host="web1", unit="docker.service", reads=[config], on_change="restart",
                 opts=pulumi.ResourceOptions(depends_on=[config, forward]))
"""
# One example of everything that the table can have. Two versions of nft have to list it as it is written.
FULL = """
    bind_address="172.17.0.1",
    public={"9000-9010/udp": ["2001:db8::/32", "203.0.113.0/24"], "8443/tcp": []},
    egress={
        "shop0": ["203.0.113.7:443/tcp", "*:53/udp", "[2001:db8::1]:443/tcp", "2001:db8:5::/48"],
        "172.30.0.0/24": [], "172.30.0.9": ["198.51.100.0/24:8000-8010/tcp"], "fd00:30::/64": ["::/0"],
    },
    outside=["vmbr0", "br-ext"],
"""
# Make eth0 a port of a new bridge, and move the addresses of eth0 to the bridge.
BRIDGED = """\
set -e
v4=$(ip -4 -o address show eth0 scope global | awk '{print $4}')
v6=$(ip -6 -o address show eth0 scope global | awk '{print $4}')
ip link add vmbr0 address "$(cat /sys/class/net/eth0/address)" type bridge
gateway4=$(ip -4 route show default | awk '{print $3}')
gateway6=$(ip -6 route show default | awk '{print $3}')
ip address flush dev eth0
ip link set eth0 master vmbr0
ip link set vmbr0 up
ip address add "$v4" dev vmbr0
ip address add "$v6" dev vmbr0 nodad
ip -4 route replace default via "$gateway4"
ip -6 route replace default via "$gateway6"
"""
# A neighbour reaches these ports by the container's own address. Docker 28 and later drops such packets
# itself.
DIRECT = {"172.30.0.10 8080", "172.31.0.10 8080"}
REGISTRY = REGISTRY_ADDRESS.v4
WITHOUT = "nft delete table inet portcullis"
WITH = f"systemctl reload {UNIT}"


def deployed(host: Host, lab: Lab, folder: pytest.TempPathFactory, os: str) -> tuple[Project, Exposed]:
    project = Project(folder.mktemp("reach") / "reach", host, name="reach")
    project.program(PROGRAM.format(os=os, policy="")).up()
    return project, Exposed.make(host, lab)


@pytest.fixture(scope="module")
def standing(
    module_host: Host, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, Exposed]]:
    """Deploy Docker, ufw and the forward filter to a host, and start containers."""
    project, exposed = deployed(module_host, lab, tmp_path_factory, "debian-13")
    yield project, exposed
    project.close()


@pytest.fixture
def project(standing: tuple[Project, Exposed]) -> Project:
    return standing[0]


@pytest.fixture
def exposed(standing: tuple[Project, Exposed]) -> Exposed:
    return standing[1]


def shut(exposed: Exposed, *, ufw: bool = True) -> None:
    """Assert that a scan reaches containers only while the filter's nftables table is deleted."""
    assert exposed.reached() == NOTHING
    exposed.host.run(WITHOUT)
    try:
        found = exposed.reached()
    finally:
        exposed.host.run(WITH)
    by_hand = {"host 8081", "host 8082", "host 8053/udp"}
    assert found["internet"] >= by_hand
    # The scan also reaches ports that are published for the host only, and ports on a container's own
    # address.
    for_host = {f"{BIND} 2019", f"{BIND} 2020"} | (set() if exposed.is_docker29 else DIRECT)
    assert found["neighbour"] >= by_hand | for_host
    if not ufw:
        if not exposed.is_docker29:
            # Docker 20 and 26 separate networks over IPv4 only. Over IPv6 ufw drops the packets, if ufw is
            # on.
            assert found["neighbour"] >= {"fd00:30::10 8080", "fd00:30::11 8080", "172.30.0.11 8080"}
            assert found["alien"] >= {"fd00:30::10 8080", "fd00:30::11 8080", "fd00:31::10 8080"}
        # The scan reaches the ports of docker-proxy too, because no forward chain sees them.
        for place, proxied in exposed.proxied().items():
            assert found[place] >= proxied


def public_8082(exposed: Exposed) -> set[str]:
    """Return how a scan reaches port 8082. Docker 29 also redirects IPv6 connections to the container."""
    return {"host 8082", "host6 8082"} if exposed.is_docker29 else {"host 8082"}


@pytest.mark.once
def test_all_that_answers_is_ssh_http_and_https(exposed: Exposed) -> None:
    assert set(exposed.everything_open().values()) == {OWN}
    shut(exposed)
    # It is about strangers: neighbours on one bridge reach each other, the host reaches all, all get out.
    peer = scan.tcp(exposed.place("peer"), {"172.30.0.10": [8080], REGISTRY: [5000]})
    assert [found.silent for found in peer.values()] == [0, 0]
    host = exposed.host
    for address in (f"{BIND}:2019", "172.30.0.10:8080", "[fd00:31::10]:8080"):
        assert host.run(["curl", "-s", "--max-time", "60", f"http://{address}/healthz"]).stdout == "ok\n"


@pytest.mark.once
def test_the_same_after_ufw_reload(exposed: Exposed) -> None:
    exposed.host.run("ufw reload")
    shut(exposed)


@pytest.mark.once
def test_the_same_after_a_restart_of_docker(exposed: Exposed) -> None:
    exposed.host.run("systemctl restart docker")
    exposed.settled()
    shut(exposed)


@pytest.mark.once
def test_every_path_stays_shut_without_ufw(exposed: Exposed) -> None:
    exposed.host.run("ufw disable")
    try:
        shut(exposed, ufw=False)
        # With ufw on, its forward policy drops IPv6 on a bridge as soon as br_netfilter shows it to iptables.
        peer = scan.tcp(exposed.place("peer"), {"fd00:30::10": [8080]})
        assert peer["fd00:30::10"].open == {8080}
    finally:
        exposed.host.run("ufw --force enable")


@pytest.mark.once
def test_the_same_after_a_reboot_and_it_was_there_before_docker(exposed: Exposed) -> None:
    host = exposed.host
    # With live-restore they outlive Docker, and keep the shutdown waiting until it kills them.
    host.run("docker kill $(docker ps --quiet)")
    host.reboot()
    exposed.settled()
    shut(exposed)
    times = host.run(f"systemctl show -P ActiveEnterTimestampMonotonic {UNIT} docker.service").stdout.split()
    assert 0 < int(times[0]) < int(times[1])


def test_what_is_declared_public_is_reached_and_egress_is_a_list(project: Project, exposed: Exposed) -> None:
    world = {REGISTRY: [5000], GATEWAY_ADDRESS.v4: [3142]}

    def gets_out(container: str, **more: list[int]) -> set[int]:
        found = scan.tcp(exposed.place(container), world | more)
        return {port for answers in found.values() for port in answers.open}

    assert gets_out("alien") == {5000, 3142}
    policy = f"""
        public={{"8082/tcp": [], "8053/udp": ["198.51.100.0/24"]}},
        egress={{"shop0": ["{REGISTRY}:5000/tcp"], "172.29.0.10": []}},
    """
    project.program(PROGRAM.format(os="debian-13", policy=policy)).up()
    reached = exposed.reached()
    assert reached["internet"] == public_8082(exposed)
    assert reached["neighbour"] == public_8082(exposed) | {"host 8053/udp"}
    assert reached["stranger"] == reached["alien"] == set()
    assert gets_out("peer", **{"172.30.0.10": [8080]}) == {5000, 8080}  # its own bridge is no egress
    assert gets_out("alien") == set()
    assert gets_out("plain") == {5000, 3142}


@pytest.mark.once
def test_neither_containers_nor_users_reach_the_clouds_metadata(project: Project, exposed: Exposed) -> None:
    host = exposed.host
    project.program(PROGRAM.format(os="debian-13", policy="")).up()
    addresses = list(dict.fromkeys(service.address.partition("/")[0] for service in metadata.SERVICES))
    # A network namespace plays the metadata services of a cloud provider, behind an interface that is no
    # bridge.
    host.run(
        "set -e; ip netns add cloud; ip link add cloud0 type veth peer name eth0 netns cloud;"
        "ip address add 192.0.2.1/24 dev cloud0; ip address add fe80::1/64 dev cloud0 nodad;"
        "ip link set cloud0 up; ip -n cloud link set lo up; ip -n cloud link set eth0 up;"
        "ip -n cloud address add 192.0.2.2/24 dev eth0; ip -n cloud route add default via 192.0.2.1;"
        "ip -n cloud route add default via fe80::1 dev eth0;"
        + "".join(
            f"ip -n cloud address add {address} dev eth0{' nodad' * (':' in address)};"
            f"ip route add {address} dev cloud0;"
            for address in addresses
        )
    )
    allowed, every = set(metadata.PORTS), {80, *metadata.PORTS}
    for port in every:
        serve = ["python3", "-m", "http.server", "--bind", "::", "--directory", "/run/lock", str(port)]
        host.run(["systemd-run", "--quiet", "ip", "netns", "exec", "cloud", *serve])
    curl = "curl -s -o /dev/null --max-time 1 http://169.254.169.254:{}/"
    wait_for("metadata", lambda: all(host.run(curl.format(p), check=False).returncode == 0 for p in every))

    def reached() -> dict[str, set[int]]:
        found = scan.tcp(exposed.place("alien"), dict.fromkeys(addresses, sorted(every)))
        return {address: set(found[address].open) for address in addresses}

    def reached_by(uid: int) -> dict[str, set[int]]:
        asked = [f"{address} {port}" for address in addresses for port in sorted(every)]
        said = host.run(["python3", "-c", CONNECT, str(uid), *asked]).stdout.splitlines()
        pairs = [line.split() for line in said]
        return {name: {int(port) for address, port in pairs if address == name} for name in addresses}

    host.run("ufw disable")  # ufw would drop forwarded IPv6
    try:
        # The allowed port is DNS: on Google's machines the metadata server is also the resolver.
        assert reached() == dict.fromkeys(addresses, allowed)
        assert reached_by(1000) == {address: {53} for address in addresses}
        assert reached_by(0) == dict.fromkeys(addresses, every)
        host.run(WITHOUT)
        assert reached() == reached_by(1000) == dict.fromkeys(addresses, every)
    finally:
        host.run(f"{WITH}; ufw --force enable")


def test_drift_is_shown_by_line_and_mended(project: Project, exposed: Exposed) -> None:
    host = exposed.host
    project.program(PROGRAM.format(os="debian-13", policy='public={"8082/tcp": []},')).up()
    host.run(
        "nft insert rule inet portcullis forward accept; nft flush chain inet portcullis containers;"
        f"systemctl disable {UNIT}; echo '# mine' >> {PATH}; chmod 0666 {PATH};"
        "systemctl enable nftables.service"
    )
    project.preview().has(
        "+ accept", "- accept", '- ct status dnat counter drop comment "ports that other containers publish"',
        "+ # mine", "- # mine", '~ boot: "disabled" => "enabled"',
        '~ permissions: "root root 0666" => "root root 0644"', "~ 1 to update",
        'conflict: "nftables.service is enabled"',
    )  # fmt: skip
    # `up` does not disable nftables.service, which would flush all rules. People have to decide about it.
    failed = project.up(fails=True)
    failed.has("web1: ", "it flushes the whole ruleset", "systemctl disable nftables.service")
    host.run("systemctl disable nftables.service")
    project.up()
    host.run(WITHOUT)
    project.preview().has("+ <absent>", "- <absent>", "~ 1 to update").lacks("boot")
    project.up()
    project.unchanged()
    reached = exposed.reached()["internet"]
    project.program(PROGRAM.format(os="debian-13", policy="")).up()
    assert (reached, exposed.reached()["internet"]) == (public_8082(exposed), set())


def test_removed_it_is_gone_and_every_other_rule_is_there(project: Project, exposed: Exposed) -> None:
    host = exposed.host
    before = host.run("nft -s list ruleset").stdout
    ours = host.run("nft -s list table inet portcullis").stdout
    assert ours in before
    lines = PROGRAM.format(os="debian-13", policy="").replace("config, forward]", "config]")
    start, end = lines.index("forward = "), lines.index("config = ")
    project.program(lines[:start] + lines[end:]).up()
    after = host.run("nft -s list ruleset").stdout
    assert after.split("\n\n") == before.replace(ours, "").split("\n\n")
    assert host.run(f"ls -d /etc/portcullis /etc/systemd/system/*/{UNIT}", check=False).stdout == ""
    assert "could not be found" in host.run(["systemctl", "status", UNIT], check=False).stderr
    assert "Status: active" in host.run("ufw status").stdout


@pytest.mark.once
def test_debian_12_is_shut_too(
    make_module_host: Callable[..., Host], lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project, exposed = deployed(make_module_host("bookworm"), lab, tmp_path_factory, "debian-12")
    try:
        shut(exposed)
        exposed.host.run("ufw disable")
        shut(exposed, ufw=False)
        # nft 1.0.6 lists the full table as it is written, too.
        project.program(PROGRAM.format(os="debian-12", policy=FULL)).up()
        project.unchanged()
        # A host of virtual machines: the public interface is a port of a bridge, and the table names that.
        exposed.host.run(BRIDGED)
        assert exposed.reached() == NOTHING
        world = {REGISTRY: [5000]}
        assert scan.tcp(exposed.place("plain"), world)[REGISTRY].open == {5000}
        exposed.host.run(f"sed 's/ [io]ifname != .vmbr0.//' {PATH} | nft -f -")
        assert exposed.reached() == NOTHING
        assert scan.tcp(exposed.place("plain"), world)[REGISTRY].silent == 1
    finally:
        project.close()
