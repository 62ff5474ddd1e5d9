"""Ports for servers that tests start."""

from __future__ import annotations

import contextlib
import random
import socket


def free_port() -> int:
    """Return a free port below the range from which the kernel takes ports for outgoing connections."""
    while True:
        port = random.randrange(15000, 32000)  # noqa: S311 - not a secret
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
