"""The probe scans a host with many faults. It sends real packets over a virtual cable, with IPv4 and IPv6."""

from __future__ import annotations

import json
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.cli.scan import certificates, connect, greetings, vantage
from tests.cli.scan.scan_wire import V4, V6

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.scan.scan_wire import Wire

BOTH = [22, 25, 80, 443, 2222, 3306, 5432, 5433, 5434, 6379, 6380, 8080, 8443, 9999, 27017, 27018]
DROPPED = 40001 - 2  # the port range leaves out MongoDB's ports


@pytest.fixture(scope="module")
def found(wire: Wire) -> dict[str, Any]:
    wire.touched()
    return wire.probe()


def test_raw_packets_find_all_open_ports_over_ipv4_and_ipv6(found: dict[str, Any]) -> None:
    assert found["method"] == "syn"
    four, six = found["addresses"][V4], found["addresses"][V6]
    assert four["open"] == BOTH
    assert six["open"] == sorted([*BOTH, 9000]), "port 9000 listens on IPv6 only"
    for each in (four, six):
        assert each["silent"] == DROPPED
        assert each["refused"] == 65535 - DROPPED - len(each["open"])


def test_with_raw_packets_nothing_connects_to_the_ssh_port(wire: Wire) -> None:
    wire.touched()
    asked = wire.probe(ports=[[1, 2000]])
    assert all(22 in asked["addresses"][address]["open"] for address in (V4, V6))
    assert wire.touched() == 0


def test_without_raw_packets_the_ssh_port_gets_one_connection(wire: Wire) -> None:
    wire.touched()
    asked = wire.probe(ports=[[1, 2000]], method="connect", addresses=[V4])
    greeting = asked["addresses"][V4]["greetings"]["22"]["said"]
    assert greeting.startswith("SSH-2.0-OpenSSH_9.9")
    assert wire.touched() == 1
    # The server's words cannot control a terminal.
    assert "\x1b" not in json.dumps(asked["addresses"][V4]["greetings"])
    assert "·[31mred" in greeting


@pytest.mark.parametrize(
    ("port", "speaks", "access"),
    [
        (25, "smtp", ""),
        (80, "http", ""),
        (443, "tls", ""),
        (2222, "ssh", greetings.GUARDED),
        (3306, "mysql", greetings.GUARDED),
        (5432, "postgresql", greetings.GUARDED),
        (5433, "postgresql", greetings.OPEN),
        (5434, "postgresql", greetings.GUARDED),
        (6379, "redis", greetings.OPEN),
        (6380, "redis", greetings.GUARDED),
        (8080, "http", ""),
        (8443, "tls", ""),
        (9999, "", ""),
        (27017, "mongodb", greetings.OPEN),
        (27018, "mongodb", greetings.GUARDED),
    ],
)
@pytest.mark.parametrize("address", [V4, V6])
def test_each_server_is_recognised_by_its_greeting(
    found: dict[str, Any], address: str, port: int, speaks: str, access: str
) -> None:
    greeting = found["addresses"][address]["greetings"][str(port)]
    assert (greeting["speaks"], greeting["access"]) == (speaks, access), greeting


def test_a_web_server_gets_a_proper_request_after_it_is_recognised(found: dict[str, Any]) -> None:
    assert found["addresses"][V4]["greetings"]["8080"]["said"].startswith("HTTP/1.1 200 OK, naive")


def test_the_reason_why_postgresql_refuses_a_client_is_shown(found: dict[str, Any]) -> None:
    greeting = found["addresses"][V4]["greetings"]["5434"]
    assert greeting["said"] == "no pg_hba.conf entry for host"


def test_connections_find_the_same_as_packets(wire: Wire, found: dict[str, Any]) -> None:
    asked = wire.probe(
        method="connect",
        ports=[
            [1, 100],
            [443, 443],
            [2222, 2222],
            [3306, 3306],
            [5432, 5434],
            [6379, 6380],
            [8080, 8443],
            [9000, 9999],
            [27000, 27100],
        ],
    )
    for address in (V4, V6):
        assert asked["addresses"][address]["open"] == found["addresses"][address]["open"]
        assert asked["addresses"][address]["silent"] == 99, "dropped and not refused"


def test_an_unused_address_is_silent_and_one_without_a_route_is_not_scanned(wire: Wire) -> None:
    asked = wire.probe(addresses=["203.0.113.77", "192.0.2.1"], ports=[[1, 100]])
    assert asked["addresses"]["203.0.113.77"]["silent"] == 100
    assert asked["addresses"]["192.0.2.1"]["source"] is None


def test_a_name_without_an_address_is_unresolved(wire: Wire) -> None:
    asked = wire.probe(addresses=["no-such-host.invalid"], ports=[[22, 22]])
    assert asked["unresolved"] == ["no-such-host.invalid"]
    assert asked["addresses"] == {}


def test_chain_name_and_dates_of_certificates(wire: Wire) -> None:
    sites = ["shop.example.com", "www.shop.example.com", "other.example.com"]
    roots = (wire.folder / "root.pem").read_text()
    known = wire.probe(ports=[[443, 443]], sites=sites, roots=roots)["addresses"][V6]["certificates"]
    assert known["shop.example.com"]["trusted"]
    assert known["www.shop.example.com"]["trusted"], "a star stands for one label"
    assert not known["other.example.com"]["trusted"]
    assert not known["other.example.com"]["names_it"]
    assert 59 <= certificates.days_left(known["shop.example.com"]["ends"]) <= 60
    unknown = wire.probe(ports=[[443, 443]], sites=sites[:1])["addresses"][V4]["certificates"]
    assert not unknown["shop.example.com"]["trusted"]
    assert "issuer" in unknown["shop.example.com"]["fault"]
    assert unknown["shop.example.com"]["names_it"]
    assert unknown["shop.example.com"]["issuer"] == "Root of the test"


def test_the_program_for_another_machine_needs_only_python_there(wire: Wire, tmp_path: Path) -> None:
    question = {
        "addresses": [V4], "families": [4], "ports": [[20, 30], [6379, 6379], [443, 443]], "ssh": 22,
        "sites": ["shop.example.com"], "page": "", "roots": "", "method": "auto", "rate": 5000,
    }  # fmt: skip
    # With -I and without PYTHONPATH, Python cannot import this checkout.
    argv = ["env", "-C", str(tmp_path), "-u", "PYTHONPATH", "/usr/bin/python3", "-I", "-"]
    done = wire.run(*argv, text=vantage.program(question))
    answer = json.loads(done.stdout)
    assert answer["addresses"][V4]["open"] == [22, 25, 443, 6379]
    assert answer["addresses"][V4]["greetings"]["6379"]["access"] == greetings.OPEN
    assert answer["addresses"][V4]["certificates"]["shop.example.com"]["names_it"]


def test_a_connection_that_met_itself_is_not_open() -> None:
    """On loopback the kernel may choose the scanned port as the source port of the connection."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        line.bind(("127.0.0.1", 0))
        port = line.getsockname()[1]
        line.connect(("127.0.0.1", port))
        assert connect.met_itself(line)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as line,
    ):
        assert not connect.met_itself(line)


def test_connections_to_loopback_find_only_ports_that_listen(wire: Wire) -> None:
    program = (
        "import socket; from portcullis.cli.scan import connect\n"
        # No program listens on these two ports, and the kernel can choose no others: a connection reaches
        # itself.
        "open('/proc/sys/net/ipv4/ip_local_port_range', 'w').write('40000 40001')\n"
        "with socket.create_server(('127.0.0.1', 7)):\n"
        "    found = [connect.ask('127.0.0.1', [port]) for port in (7, 40000, 40001)]\n"
        "print([port for each in found for port, is_open in each.items() if is_open])\n"
        "open('/proc/sys/net/ipv4/ip_local_port_range', 'w').write('32768 60999')"
    )
    assert wire.run(sys.executable, "-c", program).stdout == "[7]\n"
