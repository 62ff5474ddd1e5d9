"""Connect to the first of several ports that answers: `dial.py [--through CONFIG JUMP] HOST PORT…`.

OpenSSH's own client knows one port a host. While a port is being moved, nobody can know which one the host
listens on, and the pinned host key makes it safe to try. A ProxyCommand: standard input and output are the
connection. It runs with nothing but the standard library.
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys

TIMEOUT = 8.0
"""Seconds for each port: a firewall that drops says nothing."""
ELSEWHERE = "the host listens on port"
"""Begins what is said where another port than the first one answered."""
_PIECE = 1 << 16


def direct(host: str, port: int) -> tuple[int, int] | None:
    """Connect, and return the descriptors to read from and to write to, or None."""
    try:
        connection = socket.create_connection((host, port), TIMEOUT)
    except OSError as error:
        # In the words of ssh, out of which an error is explained to people.
        print(f"ssh: connect to host {host} port {port}: {error.strerror or error}", file=sys.stderr)  # noqa: T201
        return None
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    number = connection.detach()
    return number, number


def through(config: str, jump: str, host: str, port: int) -> tuple[int, int] | None:
    """Connect by way of a jump host; a server speaks first, so its first byte shows that it is there."""
    address = f"[{host}]" if ":" in host else host
    child = subprocess.Popen(
        ["ssh", "-F", config, "-W", f"{address}:{port}", jump],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None  # noqa: S101
    assert child.stdout is not None  # noqa: S101
    with selectors.DefaultSelector() as ready:
        ready.register(child.stdout, selectors.EVENT_READ)
        if not ready.select(3 * TIMEOUT):
            child.kill()
    first = os.read(child.stdout.fileno(), _PIECE)
    if not first:
        child.wait()
        return None
    _write(1, first)
    return os.dup(child.stdout.fileno()), os.dup(child.stdin.fileno())


def carry(source: int, sink: int) -> None:
    """Carry bytes both ways until the server ends the connection."""
    with selectors.DefaultSelector() as ready:
        ready.register(0, selectors.EVENT_READ, sink)
        ready.register(source, selectors.EVENT_READ, 1)
        while True:
            for key, _ in ready.select():
                data = os.read(key.fd, _PIECE)
                if not data:
                    return  # either side: ssh closes its own only when it is done
                _write(key.data, data)


def _write(sink: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sink, view) :]


def main(arguments: list[str]) -> int:
    """Dial the ports in their order; exit code 1 when none answers."""
    if arguments[0] == "--through":
        config, jump, host, *ports = arguments[1:]
        ends = (through(config, jump, host, int(port)) for port in ports)
    else:
        host, *ports = arguments
        ends = (direct(host, int(port)) for port in ports)
    found = next(((port, end) for port, end in zip(ports, ends, strict=True) if end is not None), None)
    if found is None:
        return 1
    port, end = found
    if port != ports[0]:
        print(f"{ELSEWHERE} {port} instead of {ports[0]}", file=sys.stderr)  # noqa: T201
    try:
        carry(*end)
    except OSError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
