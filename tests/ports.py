"""Ports of 127.0.0.1 for servers that tests start."""

from __future__ import annotations

import socket
from collections import deque

_kept: deque[socket.socket] = deque()
_MOST = 64


def free_port() -> int:
    """Return a port that no other program gets while this process asks for 64 more ports.

    A socket keeps the port: it is bound, and does not listen. The kernel then gives the port to nobody who
    asks for any port, also not to an outgoing connection. A server with SO_REUSEADDR can still listen there.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    _kept.append(kept)
    if len(_kept) > _MOST:
        _kept.popleft().close()
    return int(kept.getsockname()[1])
