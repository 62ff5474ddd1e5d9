"""The shop's site in a real browser, with the real API and stores.

A small server takes the place of nginx.
"""

from __future__ import annotations

import socket
import threading
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any

import pytest

from lab import shop
from tests.app.visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.app.conftest import Api

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Front(ThreadingTCPServer):
    """Serves the built site, and passes requests under /api and /ws on to the API.

    Each connection serves one request.
    """

    daemon_threads = True
    api = 0


class Exchange(StreamRequestHandler):
    def handle(self) -> None:
        head = b""
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            head += b"" if line.lower().startswith(b"connection: keep-alive") else line
        if not head:
            return
        path = head.split()[1].decode()
        assert isinstance(self.server, Front)
        if path.startswith(("/api/", "/ws")):
            self.hand_on(head, self.server.api)
            return
        file = shop.site() / (path.strip("/") or "index.html")
        if not file.is_file():
            self.wfile.write(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            return
        kind = TYPES[file.suffix]
        self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode())
        self.wfile.write(file.read_bytes())

    def hand_on(self, head: bytes, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as api:
            upgrade = b"upgrade: websocket" in head.lower()
            api.sendall(head + (b"\r\n" if upgrade else b"Connection: close\r\n\r\n"))
            threading.Thread(target=self.upstream, args=(api,), daemon=True).start()
            while part := api.recv(65536):
                try:
                    self.wfile.write(part)
                except OSError:
                    return

    def upstream(self, api: socket.socket) -> None:
        try:
            while part := self.rfile.read1(65536):
                api.sendall(part)
        except (OSError, ValueError):
            pass  # the other side is done


@pytest.fixture
def front(start: Callable[..., Api]) -> Iterator[tuple[int, Api]]:
    api = start()
    api.wait_until_well()
    with Front(("127.0.0.1", 0), Exchange) as server:
        server.api = api.port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1], api
        server.shutdown()
        thread.join()


def test_a_visitor_adds_an_item_and_sees_it_after_a_reload(
    front: tuple[int, Api], open_browser: Callable[..., Any]
) -> None:
    port, api = front
    browser = open_browser({"shop.example.com": "127.0.0.1"})
    visitor = Visitor(browser, f"http://shop.example.com:{port}/")
    visitor.sees_two_ticks()
    visitor.add("<b>tea</b>")
    visitor.reload()
    visitor.sees("<b>tea</b>")
    visitor.sees_two_ticks()
    api.stop()
    visitor.sees_no_connection()
    assert visitor.faults() == []


def test_a_browser_finds_only_the_names_it_was_given(open_browser: Callable[..., Any]) -> None:
    browser = open_browser({})
    with pytest.raises(Exception, match="ERR_NAME_NOT_RESOLVED"):
        browser.get("http://www.example.com/")
