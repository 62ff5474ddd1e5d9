"""Find the TCP ports that answer, with raw SYN packets.

This method needs root, but no package outside the standard library. The scan never makes a connection: our
own kernel answers each SYN/ACK with a reset. So no service logs anything, and fail2ban counts nothing. Every
port is asked twice, because packets get lost.

We do not use nmap, because the probe also runs over ssh on machines that have only Python (`vantage`). The
probe leaves nothing on such a machine. If we used nmap where it is installed, there would be two ways to
scan. The results of the two ways could differ, and this module would still be needed.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RATE = 5000
"""The default rate in packets per second.

At this rate, few packets are lost on the way through the internet. At this rate, two rounds over all ports
take 27 s.
"""
SETTLE = 1.5
"""Seconds to wait for the last answers of a round."""
_SYN, _SYN_ACK, _RST = 0x02, 0x12, 0x04
_ROUNDS = 2
_BURST = 200  # the most packets before the answers are read; the kernel's queue has room for 1000
_LONGEST = 6.0  # on a busy machine, the wait is at most this many times longer
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; Python has no name for it
_HEADER = struct.Struct("!HHIIHHHH")


def ask(
    address: str, ports: Sequence[int], *, mark: int = 0, rate: int = RATE, settle: float = SETTLE
) -> dict[int, bool]:
    """Return which ports answered with SYN/ACK (True) or with a reset (False).

    Ports without an answer are left out.

    Args:
        address: an IPv4 or IPv6 address. Without a route to the address, no port answers.
        ports: the ports to ask.
        mark: a mark on the packets that selects their route; 0 for the ordinary route.
        rate: packets per second.
        settle: seconds to wait for the last answers of a round.

    Raises:
        PermissionError: this process may not open a raw socket.
    """
    source = source_of(address, mark)
    if source is None or not ports:
        return {}
    burst = min(_BURST, max(1, rate // 50))
    answered: dict[int, bool] = {}
    # This socket holds our port, so that no other program gets these answers.
    with (
        open_socket(address, socket.SOCK_STREAM, 0, mark) as holder,
        open_socket(address, socket.SOCK_RAW, socket.IPPROTO_TCP, mark) as raw,
    ):
        holder.bind((source, 0))
        raw.setblocking(False)  # noqa: FBT003
        with suppress(OSError):  # without the capability, the buffer keeps its size
            raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 25)
        raw.bind((source, 0))
        packets = _Packets(source, address, holder.getsockname()[1], int.from_bytes(os.urandom(3), "big"))
        _send(raw, packets, address, ports[:1])
        time.sleep(0.2)  # until the kernel knows the next hop; it drops a burst of packets before that
        for _ in range(_ROUNDS):
            left = [port for port in ports if port not in answered]
            for start in range(0, len(left), burst):
                _send(raw, packets, address, left[start : start + burst])
                time.sleep(burst / rate)
                answered.update(packets.read(raw))
            deadline = time.monotonic() + settling(settle)
            while len(answered) < len(ports) and time.monotonic() < deadline:
                time.sleep(0.05)
                answered.update(packets.read(raw))
    return answered


def possible() -> bool:
    """Return whether this process may send raw packets."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP).close()
    except OSError:
        return False
    return True


def settling(settle: float) -> float:
    """Return how long to wait for answers. A busy machine needs more time to read the answers."""
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    return settle * min(max(waiting, 1.0), _LONGEST)


def source_of(address: str, mark: int = 0) -> str | None:
    """Return our own address on the route to another address, or None without a route."""
    try:
        with open_socket(address, socket.SOCK_DGRAM, 0, mark) as asking:
            asking.connect((address, 9))
            return str(asking.getsockname()[0])
    except OSError:
        return None


def open_socket(address: str, kind: int, protocol: int, mark: int = 0) -> socket.socket:
    """Return a socket for the family of an address."""
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind, protocol)
    if mark:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    return made


class _Packets:
    """Writes the SYN packets of one scan, and recognises their answers."""

    def __init__(self, source: str, target: str, port: int, sequence: int) -> None:
        self.port, self.sequence = port, sequence
        self.target = _bytes(target)
        ends = _bytes(source) + self.target
        pseudo = ends + struct.pack("!II", _HEADER.size, socket.IPPROTO_TCP)
        self._constant = _sum(pseudo) + _sum(self._header(0, 0))

    def syn(self, port: int) -> bytes:
        """Return the SYN packet for a port."""
        total = self._constant + port
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        return self._header(port, ~total & 0xFFFF)

    def _header(self, port: int, checksum: int) -> bytes:
        words = _HEADER.size // 4 << 12
        return _HEADER.pack(self.port, port, self.sequence, 0, words | _SYN, 1024, checksum, 0)

    def read(self, raw: socket.socket) -> dict[int, bool]:
        """Return the answers that have arrived: the port, and whether it is open."""
        answered: dict[int, bool] = {}
        for segment in self._segments(raw):
            port, ours, _, acknowledged, flags = struct.unpack_from("!HHIIH", segment)
            if ours != self.port or acknowledged != self.sequence + 1:
                continue
            if flags & _SYN_ACK == _SYN_ACK or flags & _RST:
                answered[port] = not flags & _RST
        return answered

    def _segments(self, raw: socket.socket) -> Iterator[bytes]:
        while True:
            try:
                packet, sender = raw.recvfrom(256)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP message about an earlier packet
            if _bytes(sender[0].partition("%")[0]) != self.target:
                continue
            # The kernel delivers IPv4 packets with their header, and IPv6 packets without.
            segment = packet[(packet[0] & 0xF) * 4 :] if raw.family == socket.AF_INET else packet
            if len(segment) >= _HEADER.size:
                yield segment


def _send(raw: socket.socket, packets: _Packets, address: str, ports: Sequence[int]) -> None:
    for port in ports:
        with suppress(OSError):  # the second round repeats packets that a full queue lost
            raw.sendto(packets.syn(port), (address, 0))


def _bytes(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def _sum(data: bytes) -> int:
    return sum(struct.unpack(f"!{len(data) // 2}H", data))
