"""Tests the gateway of the lab hosts: its cache of packages, the addresses that it refuses, and its DNS."""

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
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from lab import debian, destinations
from lab.gateway import ProxyServer, own_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lab.pytest_lab import Host

BODY = bytes(range(256)) * 1000


class Mirror(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ThreadingHTTPServer
    asked: tuple[list[str], threading.Lock] = ([], threading.Lock())

    def do_GET(self) -> None:
        with self.asked[1]:
            self.asked[0].append(self.path)
        time.sleep(0.2)
        if "missing" in self.path:
            self.send_error(404)
            return
        if "elsewhere" in self.path:
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/secret")
            self.send_header("Content-Length", "0")
            self.end_headers()
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
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
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
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    mirrors = frozenset({("127.0.0.1", server.server_port)})
    with (
        serving(server) as mirror,
        serving(ProxyServer(("127.0.0.1", 0), tmp_path, mirrors)) as proxy,
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


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Callable[[str], bytes]]:
    """Return a function that sends a request to a gateway without mirrors.

    The returned function returns the first line of the answer.
    """
    server = ProxyServer(("127.0.0.1", 0), tmp_path)

    def send(line: str) -> bytes:
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as near:
            near.sendall(f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return near.makefile("rb").read().partition(b"\r\n")[0]

    with serving(server):
        yield send


@pytest.fixture
def here() -> Iterator[int]:
    """Return the port of a web server on this machine, which no lab host may reach."""
    Mirror.asked[0].clear()
    server = ThreadingHTTPServer(("", 0), Mirror)
    with serving(server):
        yield server.server_port
    assert Mirror.asked[0] == [], "the gateway must not send a request to it"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "0", "[::1]", "[::ffff:127.0.0.1]", "127.1"])
@pytest.mark.parametrize("line", ["GET http://{}:{}/", "GET http://{}:{}/a.deb", "CONNECT {}:{}"])
def test_nothing_of_the_machine_is_reached(
    ask: Callable[[str], bytes], here: int, name: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(destinations._PORTS, "http", here)
    assert ask(line.format(name, here)).startswith(b"HTTP/1.1 403")


def test_a_redirect_leads_to_nothing_of_the_machine(
    get: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destinations, "_PORTS", {"http": 80, "https": 443})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get("/elsewhere")
    assert Mirror.asked[0] == ["/elsewhere"]


@pytest.mark.parametrize("path", ["/x", "/x.deb"])
def test_no_file_of_the_machine_is_read(ask: Callable[[str], bytes], tmp_path: Path, path: str) -> None:
    file = tmp_path / path.strip("/")
    file.write_text("secret")
    assert ask(f"GET file://{file}").startswith(b"HTTP/1.1 502")
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_a_port_that_is_not_of_the_web_is_refused(ask: Callable[[str], bytes]) -> None:
    assert ask("CONNECT 9.9.9.9:25").startswith(b"HTTP/1.1 403")
    assert ask("GET http://9.9.9.9:25/").startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("9.9.9.9", True),
        ("2620:fe::fe", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("100.100.100.200", False),
        ("169.254.169.254", False),
        ("192.168.1.1", False),
        ("198.51.100.11", False),
        ("224.0.0.251", False),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:a00:1::", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::909:909", True),
    ],
)
def test_only_addresses_of_the_internet_are_public(address: str, *, may: bool) -> None:
    assert destinations.public(address) is may


def test_a_public_address_of_this_machine_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations, "_own", lambda address: str(address) == "9.9.9.9")
    assert not destinations.public("9.9.9.9")
    assert destinations.public("8.8.8.8")


def test_the_machine_knows_its_own_addresses() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.connect(("203.0.113.1", 9))  # sends nothing, but chooses our own address for this route
        assert destinations._own(ip_address(far.getsockname()[0]))
    assert not destinations._own(ip_address("9.9.9.9"))


def test_the_address_that_was_judged_is_the_one_that_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    # A name whose owner answers differently each time, and in one answer mixes both kinds.
    answers = iter([["10.0.0.1", "9.9.9.9"], ["127.0.0.1"]])
    dialled: list[tuple[str, int]] = []

    def resolve(_: str, port: int, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in next(answers)]

    def connect(place: tuple[str, int], _: float) -> socket.socket:
        dialled.append(place)
        return socket.socket()

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    destinations.dial("rebind.test", 443, 5, frozenset()).close()
    with pytest.raises(destinations.Refused, match=r"rebind\.test: .* only 127\.0\.0\.1"):
        destinations.dial("rebind.test", 443, 5, frozenset())
    assert dialled == [("9.9.9.9", 443)]


def test_mirrors_are_known_by_name_and_port() -> None:
    addresses = ["http://Deb.example/debian", "https://apt.example:8443/x", "file:/srv/mirror", "cdrom:[x]/"]
    assert destinations.mirrors(addresses) == {("deb.example", 80), ("apt.example", 8443)}


def test_this_machines_mirror_may_be_reached_wherever_it_is() -> None:
    name, _, _ = debian.mirror().partition("://")[2].partition("/")
    assert name.partition(":")[0] in {each for each, _ in destinations.mirrors(debian.repositories())}


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
        ("www.example.com", "198.51.100.1"),  # the address of the router
        ("www.example.com", "198.18.0.10"),  # an address on the internet
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
