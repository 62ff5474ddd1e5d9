"""Ports for servers that tests start."""

from __future__ import annotations

import contextlib
import random
import socket


def free_port() -> int:
    """A port below those that the kernel gives away: such a one may be some connection's by then."""
    while True:
        port = random.randrange(15000, 32000)  # noqa: S311 - nobody is kept from guessing it
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
