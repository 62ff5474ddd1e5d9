"""Connects to the first of several ports that answers: `dial.py [--through CONFIG JUMP] HOST PORT…`.

OpenSSH supports only one port per host. While a deploy changes the port, nobody knows on which port the host
listens. The pinned host key makes it safe to try several ports. This script is a ProxyCommand: its standard
input and output are the connection. The script uses the standard library only.
"""

from __future__ import annotations

import os
import queue
import selectors
import socket
import subprocess
import sys
import threading

TIMEOUT = 8.0
"""The time limit for all ports together, in seconds."""
_STAGGER = 1.5
"""Seconds without an answer before the next port is tried too. A firewall may drop packets silently."""
ELSEWHERE = "the host listens on port"
"""The beginning of the message if another port than the first one answered."""
_PIECE = 1 << 16


def direct(host: str, ports: list[int]) -> tuple[int, int, int] | None:
    """Connect to the first of the ports that answers.

    Return the port and the descriptors to read from and to write to, or None if no port answers.
    """
    answers: queue.Queue[tuple[int, socket.socket | None]] = queue.Queue()
    found = threading.Event()

    def attempt(port: int) -> None:
        try:
            connection = socket.create_connection((host, port), TIMEOUT)
            if found.is_set():
                connection.close()  # sshd would wait for a login on an open connection
            answers.put((port, connection))
        except OSError as error:
            # The same words as ssh uses, because `portcullis.host.ssh_errors` matches them.
            why = error.strerror or "Connection timed out"
            print(f"ssh: connect to host {host} port {port}: {why}", file=sys.stderr)  # noqa: T201
            answers.put((port, None))

    waiting = list(ports)
    pending = 0
    while waiting or pending:
        if waiting:
            threading.Thread(target=attempt, args=(waiting.pop(0),), daemon=True).start()
            pending += 1
        try:
            port, connection = answers.get(timeout=_STAGGER if waiting else TIMEOUT + 1)
        except queue.Empty:
            continue
        pending -= 1
        if connection is not None:
            found.set()
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = connection.detach()
            return port, number, number
    return None


def through(config: str, jump: str, host: str, ports: list[int]) -> tuple[int, int, int] | None:
    """Connect through a jump host; return the same as `direct`."""
    for port in ports:
        ends = _through(config, jump, host, port)
        if ends is not None:
            return (port, *ends)
    return None


def _through(config: str, jump: str, host: str, port: int) -> tuple[int, int] | None:
    """Try one port through a jump host. An SSH server sends first: its first byte proves the connection."""
    address = f"[{host}]" if ":" in host else host
    child = subprocess.Popen(
        ["ssh", "-F", config, "-W", f"{address}:{port}", jump],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None  # noqa: S101
    assert child.stdout is not None  # noqa: S101
    with selectors.DefaultSelector() as ready:
        ready.register(child.stdout, selectors.EVENT_READ)
        if not ready.select(TIMEOUT):
            child.kill()
    first = os.read(child.stdout.fileno(), _PIECE)
    if not first:
        child.wait()
        return None
    _write(1, first)
    return os.dup(child.stdout.fileno()), os.dup(child.stdin.fileno())


def carry(source: int, sink: int) -> None:
    """Copy bytes in both directions until the server ends the connection."""
    with selectors.DefaultSelector() as ready:
        ready.register(0, selectors.EVENT_READ, sink)
        ready.register(source, selectors.EVENT_READ, 1)
        while True:
            for key, _ in ready.select():
                data = os.read(key.fd, _PIECE)
                if not data:
                    return  # either side has closed the connection; ssh closes its side only at its end
                _write(key.data, data)


def _write(sink: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sink, view) :]


def main(arguments: list[str]) -> int:
    """Connect to the first port that answers, in the order of the arguments.

    The next port is also tried if a port does not answer within `_STAGGER` seconds, or through a jump host
    within `TIMEOUT` seconds. Return the exit code: 1 if no port answers, or if the connection breaks.
    """
    if arguments[0] == "--through":
        config, jump, host, *rest = arguments[1:]
        ports = [int(port) for port in rest]
        found = through(config, jump, host, ports)
    else:
        host, *rest = arguments
        ports = [int(port) for port in rest]
        found = direct(host, ports)
    if found is None:
        return 1
    port, source, sink = found
    if port != ports[0]:
        print(f"{ELSEWHERE} {port} instead of {ports[0]}", file=sys.stderr)  # noqa: T201
    try:
        carry(source, sink)
    except OSError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
