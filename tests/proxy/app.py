"""An app that reports each request, and answers as the request tells it to.

The query of a request chooses the answer: ``status``, ``type``, ``body``, ``size``, ``wait`` (seconds), and
any number of ``header`` as ``Name:value``. With ``hold``, the app answers when the test sets ``go``. Without
``body``, the answer is the request itself as JSON. The app accepts WebSockets and echoes their bytes.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.load import HANG
from tests.proxy import namespace

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


class App(ThreadingHTTPServer):
    """The app on one port. The app counts connections, and keeps the first line of each request."""

    daemon_threads = True

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.connections = 0
        self.asked: list[str] = []
        self.go = threading.Event()

    def get_request(self) -> tuple[socket.socket, Any]:
        self.connections += 1
        return super().get_request()

    def handle_error(self, *_: object) -> None:
        """Ignore clients that are gone."""


@contextlib.contextmanager
def answering(pid: int, address: str, port: int) -> Iterator[App]:
    """Run the app in the network of a process."""
    app = App(namespace.listening(pid, (address, port)))
    thread = threading.Thread(target=app.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield app
    finally:
        app.shutdown()
        app.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one segment: in two, the second waits 40 ms for the first to be acknowledged.
    wbufsize = 65536
    server: App

    def _answer(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length") or 0)
        sent = self.rfile.read(length)
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self._take_over()
            return
        wanted = parse_qs(urlsplit(self.path).query)
        time.sleep(float(wanted.get("wait", ["0"])[0]))
        if "hold" in wanted:
            self.server.go.wait(HANG)
        told = {
            "method": self.command,
            "target": self.path,
            "version": self.request_version,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "body": len(sent),
        }
        body = wanted.get("body", [json.dumps(told)])[0].encode() * int(wanted.get("size", ["1"])[0])
        self.send_response(int(wanted.get("status", ["200"])[0]))
        self.send_header("Content-Type", wanted.get("type", ["application/json"])[0])
        for line in wanted.get("header", []):
            self.send_header(*line.split(":", 1))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _take_over(self) -> None:
        self.send_response_only(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        while data := self.connection.recv(4096):
            self.connection.sendall(data)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing."""
