"""Visitors who ask all the time on connections that they keep open, and what became of every request.

What a client may expect, and no less: an answer of 2xx, whole. One thing is no failure, since every browser
and library does the same with a GET: a request that meets the end of a connection kept from before, with not
a byte of an answer, is sent once more, on a new connection. HTTP/1.1 has no other way for a server to end one
(RFC 9112, 9.3.1 and 9.5); it is counted apart. The end has to show at once: a server that had a request for
longer and then hangs up has lost it. On the new connection nothing may fail.
"""

from __future__ import annotations

import http.client
import itertools
import select
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

AT_ONCE = 0.1
"""Seconds within which a connection that had ended shows that it had."""
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
        except (OSError, http.client.HTTPException, _Unanswered) as error:
            with self._lock:
                self.failed.append(f"{begun - self._begun:.2f} s: {host}{path}: {error!r}")
            return
        with self._lock:
            self.answered += 1
            self.again += again
            self.longest = max(self.longest, time.monotonic() - begun)

    def _ask(self, kept: dict[str, socket.socket], host: str, path: str) -> None:
        old = kept.pop(host, None)
        # Looked at before anything is sent: on a busy machine a thread stands still for longer than AT_ONCE.
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
    """The connection had ended before the request was taken up."""


def _exchange(line: socket.socket, host: str, path: str) -> bool:
    """Ask once; return whether the connection stays open.

    Raises:
        _Unanswered: the connection had ended.
        OSError: it broke off within the answer, or nothing came in time.
        http.client.HTTPException: there is no answer, it is not whole, or not one of 2xx.
    """
    stream = line.makefile("rb")
    begun = time.monotonic()
    try:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        first = stream.peek(1)
    except _ENDED:
        first = b""
    if not first:
        seconds = time.monotonic() - begun
        if seconds > AT_ONCE:
            raise http.client.HTTPException(f"no answer, and after {seconds:.2f} s the end")
        raise _Unanswered
    answer = http.client.HTTPResponse(_Opened(stream), method="GET")  # type: ignore[arg-type]
    answer.begin()
    body = answer.read()  # IncompleteRead where it is too short
    if not 200 <= answer.status < 300:
        raise http.client.HTTPException(f"{answer.status}: {body[:80]!r}")
    if answer.headers["Content-Length"] is None and not answer.chunked:
        raise http.client.HTTPException("an answer of no stated length")
    return not answer.will_close


@dataclass(frozen=True, slots=True)
class _Opened:
    """What HTTPResponse takes for a socket: the stream that was looked into already."""

    stream: object

    def makefile(self, _mode: str) -> object:
        return self.stream
