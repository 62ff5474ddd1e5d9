"""A TCP relay that adds a round trip time, loses or cuts, and counts what a remote protocol costs.

The kernels this has to run on have no netem, and what is measured is one protocol's round trips, not
a network's bandwidth: so the delay is made in user space.
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
    """What went through.

    Attributes:
        connections: accepted ones.
        sent: bytes from the clients to the target.
        received: bytes from the target to the clients.
        round_trips: how often the target spoke after something of the client had reached it. A handshake
            counts like any other talk, the TCP handshake does not.
    """

    connections: int = 0
    sent: int = 0
    received: int = 0
    round_trips: int = 0


class Relay:
    """Relay from a listening socket to ``target`` until closed; ``rtt`` is in seconds.

    A client pays what it would on such a line: one round trip and a half until the target sees its
    connection, then half a round trip each way.
    """

    def __init__(
        self, target: tuple[str, int], listen: tuple[str, int] = ("127.0.0.1", 0), rtt: float = 0
    ) -> None:
        """Listen at once.

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
        """Where it listens."""
        name = self._listener.getsockname()
        return str(name[0]), int(name[1])

    @property
    def counts(self) -> Counts:
        """What went through since the start or the last ``reset``."""
        with self._lock:
            return self._counts

    def reset(self) -> Counts:
        """Start counting anew; return what was counted."""
        with self._lock:
            counts, self._counts = self._counts, Counts()
            return counts

    def delay(self, rtt: float) -> None:
        """Add another round trip time from now on, in seconds."""
        self._half = rtt / 2

    def lose(self) -> None:
        """Swallow everything from now on, also that an end hangs up; what lost something has to be cut."""
        self._loses.set()

    def cut(self) -> int:
        """Hang up on both ends of every connection, and lose nothing any more; return how many there were."""
        with self._lock:
            ends = list(self._open)
        for end in ends:
            self._hang_up(end)
        self._loses.clear()
        return len(ends) // 2

    def join(self) -> None:
        """Block until it is closed."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Stop listening and cut every connection."""
        self._hang_up(self._listener)
        self.cut()
        self._thread.join(5)

    def __enter__(self) -> Self:
        """Relay already listens."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
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
        # What a client said while its connection was on its way arrives with it.
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
            # Before it goes on: whoever has it may ask for the counts, or say more.
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
        # Closing alone does not wake a thread that waits in accept or recv.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


@dataclass(slots=True)
class _Turn:
    """Whether words of the client have reached the target since it last spoke.

    Words on their way do not count: what the target says before it has them is no answer to them.
    """

    asked: bool = False


def _deliver(line: queue.Queue[tuple[float, bytes]], sink: socket.socket, turn: _Turn | None) -> None:
    broken = False
    while True:
        due, piece = line.get()
        if broken and piece:
            continue  # the reader must not block on a full line
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
