"""Listens on every given port that is free, as a user without rights, and records what it receives.

The program runs in the host's network namespace as the user nobody, until its input ends. Its arguments are
an existing file for the records, and the ports.
"""

from __future__ import annotations

import select
import socket
import sys
from pathlib import Path

_ADDRESSES = ("127.0.0.1", "172.17.0.1", "0.0.0.0", "::")  # noqa: S104 - it listens everywhere on purpose


def main(file: str, *ports: str) -> None:
    """Listen until the input ends."""
    held: dict[tuple[str, int], socket.socket] = {}
    heard: list[socket.socket] = []
    tries = caught = 0
    with Path(file).open("r+b", 0) as out:
        while True:
            for place in ((address, int(port)) for address in _ADDRESSES for port in ports):
                if place not in held:
                    tries += 1
                    taken = _listening(*place)
                    if taken:
                        held[place] = taken
                        out.write(f"listens on {place[0]} {place[1]}\n".encode())
            ready, _, _ = select.select([sys.stdin, *held.values(), *heard], [], [], 0.2)
            if sys.stdin in ready:
                break
            for line in ready:
                if line in heard:
                    try:
                        said = line.recv(1 << 16)
                    except OSError:
                        said = b""
                    out.write(said)
                    if not said:
                        heard.remove(line)
                        line.close()
                else:
                    caught += 1
                    heard.append(line.accept()[0])
        out.write(f"\n{tries} tries to listen, {len(held)} ports held, {caught} visitors\n".encode())


def _listening(address: str, port: int) -> socket.socket | None:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen()
    except OSError:
        made.close()
        return None
    return made


if __name__ == "__main__":
    main(*sys.argv[1:])
