"""The lab's scanner reports open, refused and silent ports correctly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import scan
from lab.errors import LabError
from tests.e2e.host.watch import wait_for

if TYPE_CHECKING:
    from lab.pytest_lab import Host

ECHO = """\
import socket
asked = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
asked.bind(("::", 5353))
while True:
    asked.sendto(*asked.recvfrom(2000))
"""
RULES = """\
table inet e2e {
    chain input {
        type filter hook input priority 0; policy accept;
        tcp dport 1000-65535 drop
        udp dport 5354 drop
    }
}
"""


def test_open_refused_and_silent_ports_are_told_apart(module_host: Host) -> None:
    host = module_host
    host.run(["systemd-run", "--quiet", "--unit=echo", "python3", "-c", ECHO])
    wait_for("the echo", lambda: ":5353" in host.run("ss -Hlun").stdout)
    addresses = (host.address, host.address6)
    for place in (scan.internet(), scan.neighbour(host.record)):
        for found in scan.udp(place, {address: [5353, 5354] for address in addresses}).values():
            assert found == scan.Answers(frozenset({5353}), refused=1, silent=0)
    host.run(["nft", "-f", "-"], text=RULES)
    for found in scan.tcp(scan.neighbour(host.record), dict.fromkeys(addresses, scan.ALL)).values():
        assert found == scan.Answers(frozenset({22}), refused=998, silent=64536)
    for found in scan.udp(scan.internet(), {address: [5353, 5354] for address in addresses}).values():
        assert found == scan.Answers(frozenset({5353}), refused=0, silent=1)
    # No connection was ever made, so sshd has nothing to tell.
    assert "Connection" not in host.run("journalctl -q -o cat -u ssh").stdout


def test_the_neighbour_reaches_what_is_behind_a_host(module_host: Host) -> None:
    host = module_host
    host.run(
        "nft delete table inet e2e; ip link add inside type bridge; ip link set inside up;"
        "ip address add 172.29.0.1/24 dev inside; ip address add fd29::1/64 dev inside nodad"
    )
    asked = {"172.29.0.1": [22, 23], "fd29::1": [22, 23]}
    for found in scan.tcp(scan.neighbour(host.record), asked).values():
        assert found == scan.Answers(frozenset({22}), refused=1, silent=0)
    for found in scan.tcp(scan.internet(), asked).values():
        assert found.open == frozenset()


def test_only_the_lab_is_asked() -> None:
    with pytest.raises(LabError, match=r"9\.9\.9\.9 is not an address of the lab"):
        scan.tcp(scan.Origin(()), {"9.9.9.9": [53]})
