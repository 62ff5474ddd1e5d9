"""Visitors who ask all the time on connections that they keep open, and what became of every request.

What a client may expect, and no less: an answer of 2xx, whole. One thing is no failure, since every browser
and library does the same with a GET: a request that meets the end of a connection kept from before, with not
a byte of an answer, is sent once more, on a new connection. HTTP/1.1 has no other way for a server to end one
(RFC 9112, 9.3.1 and 9.5); it is counted apart. The server must not have read the request: a server that reads
a request and then hangs up has lost it. On the new connection nothing may fail.
"""

from __future__ import annotations

import fcntl
import http.client
import itertools
import select
import socket
import ssl
import termios
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HANG = 120.0
"""Seconds after which a wait counts as endless. No test measures anything with it."""
_RESET, _ENDED_BY_SERVER = 7, 8
"""TCP_CLOSE and TCP_CLOSE_WAIT of Linux, the first byte of TCP_INFO."""
_ENDED = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


@dataclass
class Load:
    """Visitors, from `with` to its end; read the counts after it.

    Attributes:
        connect: opens a connection for a host name, through TLS where that is spoken.
        targets: host name and path of what is asked for, in turn.
        visitors: how many ask at the same time, each on one connection per host name.
        pause: seconds between two requests of a visitor.
        answered: requests with a whole answer of 2xx.
        again: requests among these that were sent once more, on a new connection.
        failed: a line for each other request, with its second, target and reason.
    """

    connect: Callable[[str], socket.socket]
    targets: Sequence[tuple[str, str]]
    visitors: int = 8
    pause: float = 0.0
    answered: int = 0
    again: int = 0
    failed: list[str] = field(default_factory=list)
    longest: float = 0.0
    """Seconds that the slowest answer took."""
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)
    _begun: float = 0.0

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        for number in range(self.visitors):
            turn = itertools.islice(itertools.cycle(self.targets), number % len(self.targets), None)
            self._threads.append(threading.Thread(target=self._visit, args=[turn]))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def wait(self, more: int) -> None:
        """Block until as many more requests have ended, with or without an answer."""
        wanted = self.answered + len(self.failed) + more
        end = time.monotonic() + HANG
        while self.answered + len(self.failed) < wanted:
            assert time.monotonic() < end, "the visitors hang"
            time.sleep(0.01)

    def _visit(self, targets: Iterator[tuple[str, str]]) -> None:
        kept: dict[str, socket.socket] = {}
        for host, path in targets:
            if self._over.is_set():
                break
            self._one(kept, host, path)
            if self.pause:
                time.sleep(self.pause)
        for line in kept.values():
            line.close()

    def _one(self, kept: dict[str, socket.socket], host: str, path: str) -> None:
        begun = time.monotonic()
        again = False
        try:
            try:
                old = host in kept
                self._ask(kept, host, path)
            except _Unanswered:
                if not old:
                    raise
                again = True
                self._ask(kept, host, path)
        except Exception as error:  # noqa: BLE001 - a thread that died would be a visitor fewer, and no failure
            with self._lock:
                self.failed.append(f"{begun - self._begun:.2f} s: {host}{path}: {error!r}")
            return
        with self._lock:
            self.answered += 1
            self.again += again
            self.longest = max(self.longest, time.monotonic() - begun)

    def _ask(self, kept: dict[str, socket.socket], host: str, path: str) -> None:
        old = kept.pop(host, None)
        if old and select.select([old], [], [], 0)[0]:
            old.close()
            raise _Unanswered
        line = old or self.connect(host)
        try:
            stays = _exchange(line, host, path)
        except BaseException:
            line.close()
            raise
        if stays:
            kept[host] = line
        else:
            line.close()


class _Unanswered(Exception):
    """The connection had ended before the server read the request."""


def _exchange(line: socket.socket, host: str, path: str) -> bool:
    """Ask once; return whether the connection stays open.

    Raises:
        _Unanswered: the connection had ended.
        OSError: it broke off within the answer, or nothing came in time.
        http.client.HTTPException: there is no answer, it is not whole, or not one of 2xx.
    """
    stream = line.makefile("rb")
    try:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        first = stream.peek(1)
    except _ENDED:
        first = b""
    if not first:
        if _unread(line):
            raise _Unanswered
        raise http.client.HTTPException("the server read the request and hung up without an answer")
    answer = http.client.HTTPResponse(_Opened(stream), method="GET")  # type: ignore[arg-type]
    answer.begin()
    body = answer.read()  # IncompleteRead where it is too short
    if not 200 <= answer.status < 300:
        raise http.client.HTTPException(f"{answer.status}: {body[:80]!r}")
    if answer.headers["Content-Length"] is None and not answer.chunked:
        raise http.client.HTTPException("the answer states no length")
    return not answer.will_close


def _unread(line: socket.socket) -> bool:
    """Tell whether the server ended the connection without reading all that was sent.

    The kernel decides it, not a clock. A server that closes or dies with unread data resets the connection,
    and so does one that closed before the data came. A server that read everything only ends its side.

    Through TLS, the client's context needs `OP_IGNORE_UNEXPECTED_EOF`, which some builds of Python do not
    set. Without it, OpenSSL answers the end with an alert, and the alert brings a reset.
    """
    end = time.monotonic() + HANG
    while True:
        # In this order: a reset between the two is seen by the second.
        received = fcntl.ioctl(line.fileno(), termios.TIOCOUTQ, bytes(4)) == bytes(4)
        state = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        if state == _RESET:
            return True
        if received and state == _ENDED_BY_SERVER:
            return False
        # The reset is under way, or TLS has ended and TCP is about to.
        if time.monotonic() > end:
            raise http.client.HTTPException("the connection does not end")
        time.sleep(0.001)


@dataclass(frozen=True, slots=True)
class _Opened:
    """What HTTPResponse takes for a socket: the stream that was looked into already."""

    stream: object

    def makefile(self, _mode: str) -> object:
        return self.stream
