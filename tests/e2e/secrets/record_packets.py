"""Records the content of all packets on every interface of a host, until its input ends.

The program runs in the host's network namespace. The argument of the program is a folder. The contents go
into a file `INTERFACE PORT` in this folder, in the order of the packets. PORT is the smaller one of a
packet's two ports.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
from pathlib import Path

_EVERYTHING = 3  # ETH_P_ALL, linux/if_ether.h
_STATISTICS = 6  # PACKET_STATISTICS, linux/if_packet.h
_V4, _V6 = 0x0800, 0x86DD  # ETH_P_IP and ETH_P_IPV6, linux/if_ether.h
_PACKET = 263  # SOL_PACKET, linux/socket.h
_OUTGOING = 4  # PACKET_OUTGOING
_BUFFER = 33  # SO_RCVBUFFORCE, asm-generic/socket.h


def main(folder: str) -> None:
    """Record packets until the input ends."""
    taps = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERYTHING))
    taps.setsockopt(socket.SOL_SOCKET, _BUFFER, 256 << 20)
    packets = 0
    over = False
    with contextlib.ExitStack() as open_files:
        files = {}
        while not over or select.select([taps], [], [], 0)[0]:
            ready, _, _ = select.select([taps, *([] if over else [sys.stdin])], [], [])
            over = over or sys.stdin in ready
            if taps not in ready:
                continue
            data, (interface, protocol, kind, *_) = taps.recvfrom(1 << 17)
            if interface == "lo" and kind == _OUTGOING:
                continue  # an outgoing packet on lo comes again as an incoming one
            packets += 1
            port, said = _parts(protocol, data)
            name = f"{interface} {port}"
            if said and name not in files:
                files[name] = open_files.enter_context(Path(folder, name).open("ab"))
            if said:
                files[name].write(said)
    _, dropped = struct.unpack("II", taps.getsockopt(_PACKET, _STATISTICS, 8))
    Path(folder, "packets").write_text(f"{packets} {dropped}\n")


def _parts(protocol: int, data: bytes) -> tuple[str, bytes]:
    """Return the port and the content of a packet.

    If a packet is not an IP packet, its content is the whole packet.
    """
    if protocol not in (_V4, _V6):
        return "other", data
    if protocol == _V4:
        kind, start, end = data[9], (data[0] & 15) * 4, int.from_bytes(data[2:4], "big")
    else:
        kind, start, end = data[6], 40, 40 + int.from_bytes(data[4:6], "big")
    data = data[:end] if end > start else data
    if kind not in (socket.IPPROTO_TCP, socket.IPPROTO_UDP) or len(data) < start + 8:
        return "other", data[start:]
    port = min(struct.unpack("!HH", data[start : start + 4]))
    header = (data[start + 12] >> 4) * 4 if kind == socket.IPPROTO_TCP and len(data) > start + 12 else 8
    return str(port), data[start + header :]


if __name__ == "__main__":
    main(sys.argv[1])
