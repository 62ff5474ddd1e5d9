"""The hosts' way out: what the proxy keeps, and that it keeps nothing that is not whole."""

from __future__ import annotations

import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.client import IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from lab import debian
from lab.gateway import ProxyServer, own_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lab.pytest_lab import Host

BODY = bytes(range(256)) * 1000


class Mirror(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: tuple[list[str], threading.Lock] = ([], threading.Lock())

    def do_GET(self) -> None:
        with self.asked[1]:
            self.asked[0].append(self.path)
        time.sleep(0.2)
        if "missing" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        if "broken" in self.path:
            self.wfile.write(BODY[:100])
            self.close_connection = True
        else:
            self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def get(tmp_path: Path) -> Iterator[Callable[[str], bytes]]:
    Mirror.asked[0].clear()
    with (
        serving(ThreadingHTTPServer(("127.0.0.1", 0), Mirror)) as mirror,
        serving(ProxyServer(("127.0.0.1", 0), tmp_path)) as proxy,
    ):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy}))

        def fetch(path: str) -> bytes:
            with opener.open(f"{mirror}{path}", timeout=20) as answer:
                return bytes(answer.read())

        yield fetch


def test_a_package_is_downloaded_once_however_many_ask(get: Callable[[str], bytes]) -> None:
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda: got.append(get("/pool/a.deb"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [BODY] * 4
    assert Mirror.asked[0] == ["/pool/a.deb"]


def test_what_may_change_is_asked_for_each_time(get: Callable[[str], bytes]) -> None:
    assert [get("/dists/InRelease"), get("/dists/InRelease")] == [BODY, BODY]
    assert len(Mirror.asked[0]) == 2


def test_a_file_that_broke_off_is_not_kept(get: Callable[[str], bytes], tmp_path: Path) -> None:
    with pytest.raises(IncompleteRead):
        get("/pool/broken.deb")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get("/pool/missing.deb")
    assert list(tmp_path.iterdir()) == []


def test_a_host_resolves_names_of_the_world(module_host: Host) -> None:
    name = debian.mirror().split("/")[2]
    assert name in module_host.run(["getent", "hosts", name]).stdout


@pytest.mark.parametrize(
    ("name", "kind", "asker", "answer"),
    [
        ("www.example.com", socket.AF_INET, "198.51.100.11", "198.51.100.11"),
        ("WWW.Example.ORG", socket.AF_INET6, "198.51.100.11", "2001:db8:100::11"),
        ("shop.test", socket.AF_INET, "198.51.100.60", "198.51.100.60"),
    ],
)
def test_every_example_is_the_host_that_asks(name: str, kind: int, asker: str, answer: str) -> None:
    said = own_name(question(name, 1 if kind == socket.AF_INET else 28), asker)
    assert said is not None
    data = socket.inet_pton(kind, answer)
    assert said[:2] == question(name, 1)[:2]
    assert said.endswith(struct.pack(">H", len(data)) + data)


@pytest.mark.parametrize(
    ("name", "asker"),
    [
        ("deb.debian.org", "198.51.100.11"),
        ("notexample.com", "198.51.100.11"),
        ("www.example.com", "198.51.100.1"),  # the router
        ("www.example.com", "198.18.0.10"),  # somebody on the internet
    ],
)
def test_other_questions_go_to_the_real_dns(name: str, asker: str) -> None:
    assert own_name(question(name, 1), asker) is None


def test_an_example_has_no_other_records() -> None:
    said = own_name(question("example.com", 15), "198.51.100.11")
    assert said is not None
    assert struct.unpack(">4H", said[4:12]) == (1, 0, 0, 0)


@pytest.mark.parametrize("cut", range(1, 33))
def test_a_question_that_is_cut_off_is_not_answered(cut: int) -> None:
    assert own_name(question("www.example.com", 1)[:-cut], "198.51.100.11") is None


def question(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", 0x1234, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, 1)
