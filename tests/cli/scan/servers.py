"""The servers of a host with many faults, each on its own port, in the network namespace of this process.

`python servers.py FOLDER` starts the servers; the folder has the certificates. The file `ssh` in that folder
gets a line for each connection to the SSH port. The program prints "ready" when all servers listen.
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else ".")

_MYSQL = b"\x0a8.4.2-secret\0" + b"\1\0\0\0" + b"x" * 40


def ssh(line: socket.socket) -> None:
    with (FOLDER / "ssh").open("a") as counted:
        counted.write("touched\n")
    line.sendall(b"SSH-2.0-OpenSSH_9.9 \x1b[31mred\r\n")
    line.recv(100)


def mysql(line: socket.socket) -> None:
    line.sendall(struct.pack("<I", len(_MYSQL))[:3] + b"\0" + _MYSQL)


def smtp(line: socket.socket) -> None:
    line.sendall(b"220 mx ESMTP ready\r\n")


def web(line: socket.socket) -> None:
    asked = line.recv(4096)
    good = asked.startswith(b"GET / HTTP/1.1")
    name = asked.partition(b"Host: ")[2].partition(b"\r")[0]
    status = b"200 OK" if good else b"400 Bad Request"
    line.sendall(b"HTTP/1.1 " + status + b"\r\nServer: naive for " + name + b"\r\nConnection: close\r\n\r\n")


def redis(answer: bytes) -> Callable[[socket.socket], None]:
    def serve(line: socket.socket) -> None:
        if line.recv(100) == b"PING\r\n":
            line.sendall(answer)

    return serve


def postgres(answer: bytes, certificate: str = "") -> Callable[[socket.socket], None]:
    """Return a PostgreSQL server. It starts TLS if it has a certificate."""

    def serve(line: socket.socket) -> None:
        if line.recv(100)[:8] != struct.pack("!ii", 8, 80877103):
            return
        line.sendall(b"S" if certificate else b"N")
        with _secured(line, certificate) if certificate else line as used:
            started = used.recv(100)
            if started == struct.pack("!ii", len(started), 3 << 16) + b"user\0postgres\0\0":
                used.sendall(answer)

    return serve


def _secured(line: socket.socket, certificate: str) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / f"{certificate}.pem")
    return context.wrap_socket(line, server_side=True)


def mongo(listed: bytes) -> Callable[[socket.socket], None]:
    def serve(line: socket.socket) -> None:
        for body in (b"\x10maxWireVersion\0\x15\0\0\0" + _number("ok", 1.0), listed):
            asked = line.recv(4096)
            if struct.unpack_from("<i", asked, 12)[0] != 2013:
                return
            document = struct.pack("<i", len(body) + 5) + body + b"\0"
            answer = struct.pack("<IB", 0, 0) + document
            line.sendall(struct.pack("<iiii", 16 + len(answer), 1, 1, 2013) + answer)

    return serve


def _number(name: str, value: float) -> bytes:
    return b"\x01" + name.encode() + b"\0" + struct.pack("<d", value)


_EMPTY = b"\x04databases\0" + struct.pack("<i", 5) + b"\0"
_TRUSTS = struct.pack("!cii", b"R", 8, 0)
_ASKS = struct.pack("!cii", b"R", 23, 10) + b"SCRAM-SHA-256\0\0"
_NO_ENTRY = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry for host\0\0"
_REFUSED = b"\x02errmsg\0\x18\0\0\0requires authentication\0"


def mute(line: socket.socket) -> None:
    line.recv(100)


def tls(name: str) -> Callable[[socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / f"{name}.pem")

    def serve(line: socket.socket) -> None:
        with context.wrap_socket(line, server_side=True) as secure:
            web(secure)

    return serve


def everything() -> dict[int, Callable[[socket.socket], None]]:
    return {
        22: ssh,
        25: smtp,
        80: web,
        443: tls("shop"),
        2222: ssh,
        3306: mysql,
        5432: postgres(_ASKS),
        5433: postgres(_TRUSTS, "shop"),
        5434: postgres(struct.pack("!ci", b"E", 4 + len(_NO_ENTRY)) + _NO_ENTRY),
        6379: redis(b"+PONG\r\n"),
        6380: redis(b"-NOAUTH Authentication required.\r\n"),
        8080: web,
        8443: tls("expired"),
        9999: mute,
        27017: mongo(_EMPTY + _number("ok", 1.0)),
        27018: mongo(_number("ok", 0.0) + _REFUSED + b"\x10code\0\x0d\0\0\0"),
    }


ONLY_V6 = 9000


def listen(port: int, serve: Callable[[socket.socket], None], family: int, address: str) -> None:
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind((address, port))
    server.listen(64)

    def one(line: socket.socket) -> None:
        with line:
            line.settimeout(60)
            with suppress(OSError, struct.error):
                serve(line)

    def forever() -> None:
        while True:
            line, _ = server.accept()
            threading.Thread(target=one, args=(line,), daemon=True).start()

    threading.Thread(target=forever, daemon=True).start()


def main() -> None:
    for port, serve in everything().items():
        listen(port, serve, socket.AF_INET, "0.0.0.0")  # noqa: S104 - in its own network namespace
        listen(port, serve, socket.AF_INET6, "::")
    listen(ONLY_V6, web, socket.AF_INET6, "::")
    print("ready", flush=True)  # noqa: T201
    sys.stdin.read()


if __name__ == "__main__":
    main()
