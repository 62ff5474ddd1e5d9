"""Runs the only way from a lab host to the internet. It is an HTTP proxy with a cache, and a DNS forwarder.

The gateway listens in the router's namespace and connects from the machine's namespace. So the machine
forwards no packet and needs no NAT. The cache keeps files whose content never changes: packages, and package
lists that are named by their hash. So a new host can install packages without a download from the internet.
apt in the host still checks hashes and signatures.

The gateway connects only to addresses that ``destinations.py`` allows: never to the machine itself, nor to a
network behind it.
"""

from __future__ import annotations

import ctypes
import os
import socket
import socketserver
import struct
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from contextlib import contextmanager, suppress
from hashlib import sha256
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lab import debian, destinations
from lab.destinations import Refused
from lab.network import FIRST_HOST, GATEWAY_ADDRESS, LAST_HOST, ROUTER, SEGMENT, on_segment
from lab.places import cache, made
from lab.processes import start, wait_for
from lab.state import save

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPResponse

    from lab.destinations import Mirrors
    from lab.state import State

PORT = 3142
PROXY = f"http://{GATEWAY_ADDRESS.v4}:{PORT}"
_CLONE_NEWNET = 0x40000000
_HEADER = 12  # bytes of a message of DNS before the question
_EXAMPLES = (".example.com", ".example.org", ".example.net", ".test")  # RFC 2606
_KEEP_SECONDS = 30 * 24 * 3600
_PIECE = 1 << 16


def ensure(state: State) -> None:
    """Start the gateway unless it runs."""
    if state.gateway and state.gateway.alive():
        return
    program = Path(__file__).with_name("lab.py")
    state.gateway = start("gateway", [sys.executable, "-P", str(program), "gateway"])
    save(state)
    wait_for("gateway", state.gateway, _listens, 60)


def _listens() -> bool:
    with suppress(OSError), socket.create_connection((GATEWAY_ADDRESS.v4, PORT), timeout=1):
        return True
    return False


def stop(state: State) -> None:
    """Stop the gateway."""
    if state.gateway:
        state.gateway.stop()
        state.gateway = None


def serve() -> None:
    """Serve the proxy and the DNS forwarder until this process is killed."""
    store = made(cache() / "apt")
    _prune(store)
    mirror = urlsplit(debian.mirror())
    mirrors = destinations.mirrors(debian.repositories())
    with _namespace(ROUTER):
        proxy = ProxyServer(
            (GATEWAY_ADDRESS.v4, PORT), store, mirrors, mirror.netloc if mirror.scheme == "https" else ""
        )
        names = _NamesServer((GATEWAY_ADDRESS.v4, 53), _Names)
    threading.Thread(target=names.serve_forever, daemon=True).start()
    proxy.serve_forever()


@contextmanager
def _namespace(name: str) -> Iterator[None]:
    """Move this thread into another network namespace, to which the thread's new sockets then belong.

    A socket stays in the namespace in which it was made.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if libc.setns(there, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"the gateway cannot enter the network namespace {name}")
        yield
    finally:
        libc.setns(home, _CLONE_NEWNET)
        os.close(home)
        os.close(there)


def _prune(store: Path) -> None:
    for path in store.rglob("*"):
        if path.is_file() and (path.suffix == ".part" or path.stat().st_mtime < time.time() - _KEEP_SECONDS):
            path.unlink()


class ProxyServer(ThreadingHTTPServer):
    """An HTTP proxy that keeps files in ``store`` if their content never changes under the same name.

    The ``mirrors``, given by name and port, may have private addresses. ``secure_mirror`` is the mirror's
    name if this machine uses it with https. Hosts connect to the mirror with http, so that the proxy can
    cache its files.
    """

    def __init__(
        self,
        address: tuple[str, int],
        store: Path,
        mirrors: Mirrors = frozenset(),
        secure_mirror: str = "",
    ) -> None:
        """Start to listen at once."""
        super().__init__(address, _Proxy)
        self.store = store
        self.mirrors = mirrors
        self.secure_mirror = secure_mirror
        self.one_at_a_time: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close the connection."""


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ProxyServer

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if not (address.path.endswith(".deb") or "/by-hash/" in address.path):
            self._pass_on(None)
            return
        kept = (
            self.server.store
            / f"{sha256(self.path.encode()).hexdigest()[:32]}-{Path(address.path).name[-80:]}"
        )
        with self.server.one_at_a_time[self.path]:
            if kept.exists():
                os.utime(kept)
                with kept.open("rb") as file:
                    self._answer(200, {"Content-Length": str(kept.stat().st_size)}, file)
            else:
                self._pass_on(kept)

    do_HEAD = do_GET  # noqa: N815

    def do_CONNECT(self) -> None:
        name, _, port = self.path.rpartition(":")
        try:
            far = destinations.dial(name.strip("[]"), int(port), 30, self.server.mirrors)
        except (OSError, ValueError) as error:
            status = 403 if isinstance(error, Refused) else 502
            self._answer(status, {"Content-Length": "0", "X-Lab-Error": str(error)}, None)
            return
        self.send_response(200)
        self.end_headers()
        with far:
            back = threading.Thread(target=_pump, args=(far, self.connection), daemon=True)
            back.start()
            _pump(self.connection, far)
            back.join(60)
        self.close_connection = True

    def _pass_on(self, kept: Path | None) -> None:
        forward = {
            name: value
            for name, value in self.headers.items()
            if name.lower() in ("user-agent", "accept", "if-modified-since", "cache-control")
        }
        address = self.path
        if address.startswith(f"http://{self.server.secure_mirror}/"):
            address = f"https{address.removeprefix('http')}"
        try:
            request = urllib.request.Request(address, headers=forward, method=self.command)  # noqa: S310
            with destinations.opener(self.server.mirrors).open(request, timeout=60) as far:
                self._relay(far, kept if self.command == "GET" else None)
        except urllib.error.HTTPError as error:
            self._answer(error.code, {"Content-Length": error.headers.get("Content-Length", "0")}, error)
        except (OSError, ValueError, HTTPException) as error:
            self.close_connection = True
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            status = 403 if isinstance(reason, Refused) else 502
            with suppress(OSError):
                self.send_error(status, explain=f"the lab's gateway cannot reach {self.path}: {reason}")

    def _relay(self, far: HTTPResponse, kept: Path | None) -> None:
        names = ("Content-Length", "Last-Modified", "ETag", "Content-Type")
        headers = {name: far.headers[name] for name in names if name in far.headers}
        if "Content-Length" not in headers:
            headers["Connection"] = "close"
        if kept is None:
            self._answer(far.status, headers, far)
            return
        part = kept.with_suffix(".part")
        try:
            with part.open("wb") as copy:
                whole = self._answer(far.status, headers, far, copy)
            if whole:
                part.rename(kept)
        finally:
            part.unlink(missing_ok=True)

    def _answer(
        self,
        status: int,
        headers: dict[str, str],
        body: IO[bytes] | HTTPResponse | None,
        copy: IO[bytes] | None = None,
    ) -> bool:
        """Send an answer, and return whether its body was as long as its header said."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body is None or self.command == "HEAD":
            return True
        length = 0
        while piece := body.read(_PIECE):
            length += len(piece)
            if copy:
                copy.write(piece)
            self.wfile.write(piece)
        whole = str(length) == headers.get("Content-Length")
        # On a connection that stays open, the client would wait for the rest of the body.
        self.close_connection = self.close_connection or not whole
        return whole

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: the files in the cache already show which requests came."""


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class _NamesServer(socketserver.ThreadingUDPServer):
    daemon_threads = True
    max_packet_size = 4096


class _Names(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        question, near = self.request
        answer = own_name(question, self.client_address[0])
        if answer:
            near.sendto(answer, self.client_address)
            return
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
            far.settimeout(5)
            far.connect((_machine_resolver(), 53))
            far.send(question)
            near.sendto(far.recv(4096), self.client_address)


def own_name(question: bytes, asker: str) -> bytes | None:
    """Return the DNS answer for a name such as www.example.com: the address of the host that asks.

    For names outside the example domains, return None. Each disposable host serves sites with such names.
    Several hosts serve the same names, so the answer depends on the host that asks. The format is that of RFC
    1035, section 4.
    """
    number = asker.removeprefix(SEGMENT[0].rpartition(".")[0] + ".")
    if not number.isdigit() or not FIRST_HOST <= int(number) <= LAST_HOST:
        return None
    labels, at = [], _HEADER
    while at < len(question) and question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii", "replace").lower())
        at += 1 + question[at]
    end = at + 5  # the last, empty label, type and class
    name = f".{'.'.join(labels)}"
    if not name.endswith(_EXAMPLES) or len(question) < end:
        return None
    address = on_segment(int(number))
    family = {1: (socket.AF_INET, address.v4), 28: (socket.AF_INET6, address.v6)}.get(question[at + 2])
    records = b""
    if family:
        data = socket.inet_pton(*family)
        # The name (0xc00c: the name of the question), type and class, a minute, the address.
        records = b"\xc0\x0c" + question[at + 1 : end] + struct.pack(">IH", 60, len(data)) + data
    flags = b"\x85\x80"  # an authoritative answer
    counts = struct.pack(">4H", 1, 1 if records else 0, 0, 0)
    return question[:2] + flags + counts + question[_HEADER:end] + records


def _machine_resolver() -> str:
    for line in Path("/etc/resolv.conf").read_text().splitlines():
        match line.split():
            case ["nameserver", address, *_] if ":" not in address:
                return address
            case _:
                continue
    return "127.0.0.1"
