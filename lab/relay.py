"""A TCP relay that adds a round trip time, loses data or cuts connections, and counts round trips.

Some machines that run the lab have no netem in their kernel, so the relay makes the delay in user space. The
relay measures the round trips of a protocol, and not the bandwidth of a network.
"""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_PIECE = 1 << 16
_QUEUED = 256


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of the traffic through the relay.

    Attributes:
        connections: the number of accepted connections.
        sent: bytes from the clients to the target.
        received: bytes from the target to the clients.
        round_trips: how often the target sent something after data of the client had reached it. A TLS or SSH
            handshake counts too, but the TCP handshake does not.
    """

    connections: int = 0
    sent: int = 0
    received: int = 0
    round_trips: int = 0


class Relay:
    """Listens on a socket, and passes each connection on to ``target`` until `close` is called.

    ``rtt`` is in seconds. A client waits as long as on a real line. The target sees a connection after one
    and a half round trips. After that, data in each direction takes half a round trip.
    """

    def __init__(
        self, target: tuple[str, int], listen: tuple[str, int] = ("127.0.0.1", 0), rtt: float = 0
    ) -> None:
        """Start to listen at once.

        Raises:
            OSError: the address to listen on is not free.
        """
        self._target = target
        self._half = rtt / 2
        self._loses = threading.Event()
        self._counts = Counts()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(listen)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """The address and port that the relay listens on."""
        name = self._listener.getsockname()
        return str(name[0]), int(name[1])

    @property
    def counts(self) -> Counts:
        """The traffic counts since the start or the last ``reset``."""
        with self._lock:
            return self._counts

    def reset(self) -> Counts:
        """Set the counts to zero, and return the old counts."""
        with self._lock:
            counts, self._counts = self._counts, Counts()
            return counts

    def delay(self, rtt: float) -> None:
        """Use another round trip time from now on, in seconds."""
        self._half = rtt / 2

    def lose(self) -> None:
        """Drop all data that arrives from now on.

        If one end closes its connection, the other end does not notice. A call of ``cut`` ends the loss.
        """
        self._loses.set()

    def cut(self) -> int:
        """Close both ends of every connection, and stop losing data.

        Return the number of connections that were open.
        """
        with self._lock:
            ends = list(self._open)
        for end in ends:
            self._hang_up(end)
        self._loses.clear()
        return len(ends) // 2

    def join(self) -> None:
        """Block until the relay is closed."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Stop listening, and close every connection."""
        self._hang_up(self._listener)
        self.cut()
        self._thread.join(5)

    def __enter__(self) -> Self:
        """Return the relay, which listens already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the relay."""
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._count(connections=1)
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        self._keep(near)
        time.sleep(3 * self._half)
        try:
            far = socket.create_connection(self._target, timeout=10)
        except OSError:
            self._hang_up(near)
            return
        far.settimeout(None)
        self._keep(far)
        turn = _Turn()
        back = threading.Thread(target=self._pump, args=(far, near, turn), daemon=True)
        back.start()
        self._pump(near, far, turn, outward=True)
        back.join()
        self._hang_up(near)
        self._hang_up(far)

    def _pump(
        self, source: socket.socket, sink: socket.socket, turn: _Turn, *, outward: bool = False
    ) -> None:
        line: queue.Queue[tuple[float, bytes]] = queue.Queue(_QUEUED)
        # Data that the client sent while it waited for the connection arrives together with the connection.
        on_its_way = outward and bool(select.select([source], [], [], 0)[0])
        writer = threading.Thread(target=_deliver, args=(line, sink, turn if outward else None), daemon=True)
        writer.start()
        piece = b"-"
        while piece:
            try:
                piece = source.recv(_PIECE)
            except OSError:
                piece = b""
            if self._loses.is_set():
                if piece:
                    continue
                self._wait_for_cut(sink)
            due = time.monotonic() + (0.0 if on_its_way else self._half)
            # Count the data before it is sent on, because its receiver may read the counts or answer at once.
            if piece and outward:
                self._count(sent=len(piece))
            elif piece:
                self._count(received=len(piece), round_trips=int(turn.asked))
                turn.asked = False
            line.put((due, piece))
            on_its_way = False
        writer.join()

    def _wait_for_cut(self, end: socket.socket) -> None:
        while self._loses.is_set() and end in self._open:
            time.sleep(0.05)

    def _count(self, *, connections: int = 0, sent: int = 0, received: int = 0, round_trips: int = 0) -> None:
        with self._lock:
            old = self._counts
            self._counts = replace(
                old,
                connections=old.connections + connections,
                sent=old.sent + sent,
                received=old.received + received,
                round_trips=old.round_trips + round_trips,
            )

    def _keep(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(connection)

    def _hang_up(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)
        # A close alone does not wake a thread that waits in accept or recv.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


@dataclass(slots=True)
class _Turn:
    """Whether data of the client has reached the target since the target last sent something.

    Data that has not reached the target yet does not count, because the target cannot have answered it.
    """

    asked: bool = False


def _deliver(line: queue.Queue[tuple[float, bytes]], sink: socket.socket, turn: _Turn | None) -> None:
    broken = False
    while True:
        due, piece = line.get()
        if broken and piece:
            continue  # the reader must not wait for a full queue
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            if piece:
                if turn:
                    turn.asked = True
                sink.sendall(piece)
            else:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            broken = True
        if not piece:
            return
