"""Makes sockets in another process's network namespace: a thread enters it, makes a socket, and returns.

A socket stays in the namespace where it was made. So clients and apps can run in the test's own process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from typing import TYPE_CHECKING

from tests.load import HANG

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)  # os.setns() exists from Python 3.12 on


@contextlib.contextmanager
def inside(pid: int) -> Iterator[None]:
    """Move this thread, and no other, into the network namespace of a process."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    other = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        _enter(other)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(own)
        os.close(other)


def connected(pid: int, address: tuple[str, int], source: str, seconds: float = HANG) -> socket.socket:
    """Return a connection made in the network namespace of a process, from the address ``source``."""
    with inside(pid):
        return socket.create_connection(address, timeout=seconds, source_address=(source, 0))


def listening(pid: int, address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens in the network namespace of a process."""
    with inside(pid):
        return socket.create_server(address, backlog=200)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
