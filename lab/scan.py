"""Finds out which ports of a host answer.

It sends raw SYN packets to TCP ports and datagrams to UDP ports, from a place in the lab's network. The
packets are those of portcullis/cli/scan/syn.py. The scan of a host that drops all 65,535 packets takes about
3 s. Only addresses of the lab are probed.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab import hosts, network
from lab.errors import LabError
from lab.shell import run
from portcullis.cli.scan import syn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from lab.engine import Engine
    from lab.state import HostRecord

    Targets = Mapping[str, Iterable[int]]

ALL = range(1, 65536)
TIMEOUT = 60.0
_LAB = [
    ipaddress.ip_network(text)
    for text in (
        # The segment and its hosts, Docker's ranges behind a lab host, and metadata addresses of clouds.
        *("198.18.0.0/15", "198.51.100.0/24", "2001:db8::/32"),
        *("172.16.0.0/12", "fd00::/8", "169.254.0.0/16", "168.63.129.16", "100.100.100.200"),
    )
]
_ROUNDS = 2
_RATE = 100_000  # packets a second: every link is this machine's memory
_SETTLE = 0.6  # seconds for the last answers of a round, on a machine that is not busy


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one address: its open ports, and how many ports refused or stayed silent."""

    open: frozenset[int]
    refused: int
    silent: int


@dataclass(frozen=True, slots=True)
class Origin:
    """The place that the packets come from.

    Attributes:
        enter: the command that runs another command with the network of that place. mark: the mark of the
        packets, which selects their route at that place. With the mark 0, the packets take the default route.
    """

    enter: tuple[str, ...]
    mark: int = 0


def internet() -> Origin:
    """Return the place "internet", which is not on the hosts' segment."""
    return Origin(("ip", "netns", "exec", network.INTERNET))


def neighbour(record: HostRecord) -> Origin:
    """Return the hosts' neighbour as a place that packets come from.

    The neighbour sends the packets to the host `record`, whatever their destination address is. So the
    packets test whether the neighbour can reach the networks behind this host. A mark on the packets selects
    the host. Several tests share the neighbour, each with its own host, so one default route is not enough.
    """
    number, host = str(record.number), network.on_segment(record.number)
    ip = ["ip", "-n", network.NEIGHBOUR]
    for family, router in (("-4", host.v4), ("-6", host.v6)):
        run([*ip, family, "route", "replace", "default", "via", router, "dev", "eth0", "table", number])
        run([*ip, family, "rule", "del", "fwmark", number], check=False)
        run([*ip, family, "rule", "add", "fwmark", number, "lookup", number])
    return Origin(("ip", "netns", "exec", network.NEIGHBOUR), record.number)


def container(engine: Engine, record: HostRecord, name: str) -> Origin:
    """Return a container on a host as a place that packets come from.

    The container's image needs no tools, because the machine's tools run in the container's network.
    """
    inspect = ["docker", "inspect", "--format", "{{.State.Pid}}", name]
    asked = hosts.console(engine, record, inspect)
    inner = asked.stdout.strip()
    if not inner.isdigit() or inner == "0":
        raise LabError(f"no container {name} runs on host {record.name}: {inner}{asked.stderr.strip()}")
    outer = hosts.first_process(engine, record)
    return Origin(("nsenter", f"--net=/proc/{outer}/root/proc/{inner}/ns/net"))


def tcp(origin: Origin, targets: Targets) -> dict[str, Answers]:
    """Probe TCP ports of addresses.

    An address without a route counts as silent.

    Raises:
        LabError: an address does not belong to the lab.
    """
    return both(origin, targets, {})[0]


def udp(origin: Origin, targets: Targets) -> dict[str, Answers]:
    """Probe UDP ports of addresses. A port counts as open only if a program answers the datagram."""
    return both(origin, {}, targets)[1]


def both(
    origin: Origin, tcp_targets: Targets, udp_targets: Targets
) -> tuple[dict[str, Answers], dict[str, Answers]]:
    """Probe TCP and UDP ports of addresses at the same time."""
    targets = {"tcp": tcp_targets, "udp": udp_targets}
    question = {
        protocol: {address: list(ports) for address, ports in asked.items()}
        for protocol, asked in targets.items()
    }
    program = [sys.executable, "-P", str(Path(__file__).with_name("lab.py")), "scan", str(origin.mark)]
    done = run([*origin.enter, *program], text=json.dumps(question), timeout=TIMEOUT)
    tcp_found, udp_found = (
        {
            address: Answers(frozenset(found["open"]), found["refused"], found["silent"])
            for address, found in json.loads(done.stdout)[protocol].items()
        }
        for protocol in targets
    )
    return tcp_found, udp_found


def answer(mark: int) -> None:
    """Probe the ports that JSON on standard input names, with the network of this process. Print the answers.

    Raises:
        LabError: an address does not belong to the lab.
    """
    question: dict[str, dict[str, list[int]]] = json.load(sys.stdin)
    for address in (address for targets in question.values() for address in targets):
        if not any(ipaddress.ip_address(address) in of_lab for of_lab in _LAB):
            raise LabError(f"{address} is not an address of the lab, so the scan refuses it")
    with ThreadPoolExecutor(32) as pool:
        asked = {
            protocol: {address: pool.submit(ask, address, ports, mark) for address, ports in targets.items()}
            for protocol, ask, targets in (("tcp", _tcp, question["tcp"]), ("udp", _udp, question["udp"]))
        }
    json.dump(
        {
            protocol: {
                address: _counted(question[protocol][address], future.result())
                for address, future in futures.items()
            }
            for protocol, futures in asked.items()
        },
        sys.stdout,
    )


def _counted(ports: Sequence[int], answered: dict[int, bool]) -> dict[str, Any]:
    opened = sorted(port for port, is_open in answered.items() if is_open)
    refused = len(answered) - len(opened)
    return {"open": opened, "refused": refused, "silent": len(ports) - len(answered)}


def _udp(address: str, ports: Sequence[int], mark: int) -> dict[int, bool]:
    """Return the ports that answered (True), or that an ICMP message refused (False)."""
    answered: dict[int, bool] = {}
    waiting: dict[int, socket.socket] = {}
    try:
        for port in ports:
            asking = syn.open_socket(address, socket.SOCK_DGRAM, 0, mark)
            asking.setblocking(False)  # noqa: FBT003
            waiting[port] = asking
            with suppress(OSError):
                asking.connect((address, port))
        for _ in range(_ROUNDS):
            for port, asking in waiting.items():
                if port not in answered:
                    with suppress(OSError):
                        asking.send(b"anybody there?\n")
            time.sleep(syn.settling(_SETTLE))
            for port, asking in waiting.items():
                try:
                    asking.recv(1)
                    answered[port] = True
                except ConnectionRefusedError:
                    answered.setdefault(port, False)
                except OSError:
                    pass
    finally:
        for asking in waiting.values():
            asking.close()
    return answered


def _tcp(address: str, ports: Sequence[int], mark: int) -> dict[int, bool]:
    """Return the ports that answered with SYN/ACK (True) or with a reset (False)."""
    return syn.ask(address, ports, mark=mark, rate=_RATE, settle=_SETTLE)
