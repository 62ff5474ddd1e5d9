"""Reads from /proc/net which sockets wait for packets from any sender, see proc_net_tcp(5)."""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TABLES = (("tcp", "4"), ("tcp", "6"), ("udp", "4"), ("udp", "6"))
# States of net/tcp_states.h. A UDP socket with one peer is "established". Any other UDP socket is "closed".
_WAITING = {"tcp": "0A", "udp": "07"}
_COLUMNS = 10
_V4 = 8  # the number of hexadecimal digits of an address


@dataclass(frozen=True)
class Socket:
    """A socket that waits for packets: `protocol` is tcp or udp, `family` is 4 for IPv4 or 6 for IPv6.

    Processes refer to the socket by its `inode`.
    """

    protocol: str
    family: str
    address: str
    port: int
    inode: int

    @property
    def kind(self) -> str:
        """The protocol and the address family of the socket in one word: ``tcp4``."""
        return f"{self.protocol}{self.family}"

    @property
    def key(self) -> str:
        """The socket's key in previews: ``tcp4 0.0.0.0:443``, ``tcp6 [::]:443``."""
        return key(self.protocol, self.address, self.port)

    @property
    def is_local(self) -> bool:
        """Whether only the host itself can reach the socket."""
        return is_local(self.address)


def key(protocol: str, address: str, port: int) -> str:
    """Return the key of a listener or a published port."""
    six = ":" in address
    return f"{protocol}{6 if six else 4} {f'[{address}]' if six else address}:{port}"


def is_local(address: str) -> bool:
    """Whether an address belongs to the loopback interface. IPv4-mapped addresses count too."""
    found = ipaddress.ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)


def parse(text: str, protocol: str, family: str) -> list[Socket]:
    """Return the sockets in one table of /proc/net that wait for packets from any sender."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < _COLUMNS or words[3] != _WAITING[protocol]:
            continue
        address, _, port = words[1].rpartition(":")
        found.append(Socket(protocol, family, _address(address), int(port, 16), int(words[9])))
    return found


def waiting(proc: Path) -> list[Socket]:
    """Return the waiting sockets on non-loopback addresses, in the agent's own network namespace."""
    found = []
    for protocol, family in TABLES:
        name = protocol if family == "4" else f"{protocol}6"
        try:
            text = (proc / "net" / name).read_text("ascii", "replace")
        except FileNotFoundError:
            continue  # this kernel has no IPv6
        found += [one for one in parse(text, protocol, family) if not one.is_local]
    return found


def has_ipv6(proc: Path) -> bool:
    """Whether the kernel has IPv6 at all."""
    return (proc / "net" / "tcp6").exists()


def ephemeral(proc_sys: Path) -> range:
    """Return the ports that the kernel gives to a program that names no port, see ip(7)."""
    try:
        first, last = map(int, (proc_sys / "net/ipv4/ip_local_port_range").read_text("ascii").split())
    except (OSError, ValueError):
        first, last = 32768, 60999
    return range(first, last + 1)


def _address(digits: str) -> str:
    """Return an address of /proc/net in text form.

    The kernel prints every 32 bits as a number in the byte order of the processor.
    """
    words = [digits[start : start + _V4] for start in range(0, len(digits), _V4)]
    raw = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    return str(ipaddress.ip_address(raw))
