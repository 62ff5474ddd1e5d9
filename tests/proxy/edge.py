"""Runs nginx with apps behind it, and sends requests to it from any address, with any name and any header."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.load import HANG
from tests.proxy import namespace
from tests.proxy.app import App, answering
from tests.proxy.nginx_process import APPS, VISITOR, Files, prepare, running

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.proxy.roots import Root

PORTS = (2019, 2020)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of nginx."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Return all values of a header, in their order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        """Return the value of a header, or "" if there is no such header.

        Fail if the header occurs more than once.
        """
        found = self.all(name)
        assert len(found) <= 1, f"{name} is there {len(found)} times: {found}"
        return found[0] if found else ""

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def told(self) -> dict[str, Any]:
        """Return the request as the app reports it."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def reached(self, name: str) -> list[str]:
        """Return the values of a request header as the app received them."""
        return [value for key, value in self.told["headers"] if key == name.lower()]


@dataclass(frozen=True, slots=True)
class Edge:
    """A running nginx: its process, its files, and the apps behind it."""

    pid: int
    files: Files
    apps: Mapping[int, App] = field(default_factory=dict)

    def connect(
        self,
        *,
        tls: bool = True,
        sni: str | None = None,
        source: str = VISITOR,
        context: ssl.SSLContext | None = None,
        seconds: float = HANG,
    ) -> socket.socket:
        """Open a connection to port 443, or without TLS to port 80."""
        port = 443 if tls else 80
        # From a public address to itself: this network has one interface and no neighbours.
        plain = namespace.connected(self.pid, (VISITOR, port), source, seconds)
        if not tls:
            return plain
        try:
            return (context or trusting()).wrap_socket(plain, server_hostname=sni)
        except BaseException:
            plain.close()
            raise

    def ask(
        self,
        host: str,
        path: str = "/",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        method: str = "GET",
        body: bytes | None = None,
        tls: bool = True,
        sni: str | None = None,
        source: str = VISITOR,
        line: str = "",
    ) -> Response:
        """Send one request on a new connection. ``line`` replaces the path in the request line."""
        with contextlib.closing(self.connect(tls=tls, sni=sni or host, source=source)) as sock:
            return send(sock, host, line or path, headers, method=method, body=body)

    def log(self, name: str, holds: str) -> str:
        """Wait until a log file contains a text, and return the log.

        nginx writes access logs a second late.
        """
        deadline = time.monotonic() + HANG
        while True:
            text = self.files.path(f"var/log/nginx/{name}").read_text(errors="surrogateescape")
            if holds in text or time.monotonic() > deadline:
                return text
            time.sleep(0.1)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program in nginx's network."""
        inside = ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command]
        return subprocess.run(inside, capture_output=True, text=True, timeout=600, check=False)


def send(
    sock: socket.socket,
    host: str,
    path: str = "/",
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    *,
    method: str = "GET",
    body: bytes | None = None,
) -> Response:
    """Send a request on an open connection, and read the answer."""
    connection = http.client.HTTPConnection(host)
    connection.sock = sock
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", host)
    for name, value in headers.items() if hasattr(headers, "items") else headers:
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nginx may have answered already
        connection.endheaders(body)
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    return Response(response.status, response.getheaders(), response.read())


def shake_hands(
    sock: socket.socket, host: str, path: str = "/ws", headers: Mapping[str, str] | None = None
) -> bytes:
    """Ask for a WebSocket and return the head of the answer."""
    lines = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    sock.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
    found = b""
    while b"\r\n\r\n" not in found:
        data = sock.recv(1)
        if not data:
            break
        found += data
    return found


def trusting() -> ssl.SSLContext:
    """Return the settings of a client that accepts any certificate. Other tests check certificates."""
    # Not the default context: reading the machine's authorities takes longer than the request.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF  # see tests.load
    return context


@contextlib.contextmanager
def serving(root: Root, folder: Path, texts: Mapping[str, str | bytes]) -> Iterator[Edge]:
    """Run nginx with these files in addition to those of its package, and with apps behind it."""
    files = prepare(root, folder, texts)
    with contextlib.ExitStack() as stack:
        pid = stack.enter_context(running(files))
        apps = {port: stack.enter_context(answering(pid, APPS, port)) for port in PORTS}
        yield Edge(pid, files, apps)
