"""Find the TCP ports that answer, with full connections.

This method is for users who may not send raw packets.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from portcullis.cli.scan import syn

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT = 1.5
"""Seconds that a port may take to answer."""
AT_ONCE = 1000
"""The scan opens at most this many connections at a time.

With this limit, a scan of all ports takes 100 s if the host drops packets.
"""
_SPARE = 64  # files that this process needs besides its connections
_REFUSED = {errno.ECONNREFUSED, errno.ECONNRESET}
# With this option, a close sends a reset: neither side keeps waiting, and our own port is free at once.
_RESET = struct.pack("ii", 1, 0)


def ask(
    address: str, ports: Sequence[int], *, timeout: float = TIMEOUT, at_once: int = AT_ONCE
) -> dict[int, bool]:
    """Return which ports accepted a connection (True) or refused it (False).

    Ports without an answer are left out. In a scan of this machine itself, open ports are asked once more,
    one by one. The reason is that a connection of the scan may have reached itself, or another connection of
    the scan.
    """
    answered = asyncio.run(_ask(address, ports, timeout, min(at_once, _files())))
    if syn.source_of(address) == address:
        again = [port for port, is_open in answered.items() if is_open]
        answered.update(dict.fromkeys(again, False))
        answered.update(asyncio.run(_ask(address, again, timeout, 1)))
    return answered


async def _ask(address: str, ports: Sequence[int], timeout: float, at_once: int) -> dict[int, bool]:
    room, answered = asyncio.Semaphore(at_once), dict[int, bool]()

    async def one(port: int) -> None:
        async with room:
            if (found := await _once(address, port, timeout)) is not None:
                answered[port] = found

    await asyncio.gather(*map(one, ports))
    return answered


async def _once(address: str, port: int, timeout: float) -> bool | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as line:
        line.setblocking(False)  # noqa: FBT003
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(line, (address, port)), timeout)
        except (asyncio.TimeoutError, TimeoutError):
            return None
        except OSError as error:
            return False if error.errno in _REFUSED else None
        return not met_itself(line)


def met_itself(line: socket.socket) -> bool:
    """Return whether the two ends of a connection are the same.

    The kernel may choose the port that we ask as the local port of our connection. If no program listens on
    this port, the socket connects to itself, which TCP allows (RFC 9293, 3.5).
    """
    with suppress(OSError):
        return bool(line.getsockname()[:2] == line.getpeername()[:2])
    return True  # the connection has ended already


def _files() -> int:
    """Raise this process's limit of open files, and return how many connections it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, AT_ONCE * 2), hard))
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(16, soft - _SPARE)
