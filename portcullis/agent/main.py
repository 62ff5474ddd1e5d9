"""The session with a client: each line of input is a JSON request, each line of output a JSON answer.

Up to four requests run at the same time.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import resource
import signal
import sys
import threading
import time
from typing import IO, TYPE_CHECKING

from portcullis.agent import first_change
from portcullis.agent.disk import write_all
from portcullis.agent.errors import AgentError
from portcullis.agent.guarded import Peer
from portcullis.agent.machine import Machine
from portcullis.agent.operations import Operations
from portcullis.agent.redaction import AT_ONCE

if TYPE_CHECKING:
    from types import TracebackType

    from portcullis.agent.read_only import ReadOnly
    from portcullis.agent.step import Json

LINE = 1 << 20  # bytes of a request in a bounded session, whose requests contain names only
PIECE = 1 << 16  # bytes written at once
IDLE_LIMIT = 20.0  # seconds of silence after which the client counts as gone

_ENCODER = json.JSONEncoder()


def main(pending: list[str]) -> None:
    """Serve requests until standard input ends, then finish the requests that still run.

    Args:
        pending: lines that were already read from standard input.
    """
    os.umask(0o077)
    # Requests contain secrets, and a core dump of this process would write them to a file.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a lost terminal must not interrupt apt
    peer = Peer.parse(sys.argv[2]) if len(sys.argv) > 2 else None  # noqa: PLR2004 - after the agent's hash
    agent = Agent(Machine(peer=peer), sys.stdout.fileno())
    # The guard sends this signal after it has undone a change that cut off the client.
    signal.signal(signal.SIGTERM, lambda *_: agent.end())
    agent.serve(pending, sys.stdin.buffer)


class _Ended(BaseException):
    """The signal handler raises this exception to stop the reading of requests."""


class Agent:
    """A session with one client."""

    def __init__(
        self,
        machine: Machine,
        out: int,
        operations: Operations | ReadOnly | None = None,
        *,
        bounded: bool = False,
    ) -> None:
        """Write answers to the file descriptor `out`. Without `operations`, all operations are allowed.

        With `bounded`, the agent reads only as fast as it answers: a hostile client cannot fill the memory.
        """
        self._machine = machine
        self._operations = operations or Operations(machine, first_change.record)
        self._out = out
        self._write = threading.Lock()
        self._longest = LINE if bounded else -1
        self._requests: queue.Queue[str | bytes | None] = queue.Queue(AT_ONCE if bounded else 0)
        self._reading = self._over = False
        self._under_way = 0
        self._last = time.monotonic()
        self._served = threading.Event()

    def serve(self, pending: list[str], source: IO[bytes]) -> None:
        """Answer every line of `pending` and of `source`. Stop after the last answer is written."""
        workers = [threading.Thread(target=self._work, name=f"worker-{n}") for n in range(AT_ONCE)]
        for worker in workers:
            worker.start()
        threading.Thread(target=self._watch, name="idle", daemon=True).start()
        for line in pending:
            self._requests.put(line)
        with contextlib.suppress(_Ended):
            self._receive(source)
        self._machine.alone.set()
        for _ in workers:
            self._requests.put(None)
        for worker in workers:
            worker.join()
        self._operations.close()
        self._served.set()

    def end(self) -> None:
        """End the session as if the input had ended.

        The signal handler calls this method in the reading thread.
        """
        self._over = True
        if self._reading:
            self._reading = False
            raise _Ended

    def _receive(self, source: IO[bytes]) -> None:
        self._reading = True
        if self._over:  # the signal came before the first read
            return
        for received in iter(lambda: source.readline(self._longest), b""):
            self._last = time.monotonic()
            if len(received) == self._longest and not received.endswith(b"\n"):
                error = AgentError("invalid", f"a request has more than {LINE} bytes")
                with self._write, contextlib.suppress(OSError):
                    self._send({"id": -1, "ok": False, "error": error.as_json()})
                break
            self._requests.put(received)
        self._reading = False

    def _work(self) -> None:
        while True:
            line = self._requests.get()
            if line is None:
                return
            if not line.strip():
                continue
            with self._write:
                self._under_way += 1
            answer = self._answer(line)
            with self._write:
                self._under_way -= 1
                self._last = time.monotonic()
                # The client may be gone. The agent carried out its request all the same.
                with contextlib.suppress(OSError):
                    self._send(answer)

    def _send(self, answer: Json) -> None:
        """Write one line in pieces, because a survey as one text would need much memory."""
        waiting = bytearray()
        for text in _ENCODER.iterencode(answer):
            waiting += text.encode()
            if len(waiting) > PIECE:
                write_all(self._out, waiting)
                waiting = bytearray()
        write_all(self._out, waiting + b"\n")

    def _answer(self, line: str | bytes) -> Json:
        number = -1
        try:
            request = parsed(line)
            number = request["id"]
            return {"id": number, "ok": True, "result": self._operations.do(request)}
        except AgentError as error:
            return {"id": number, "ok": False, "error": error.as_json()}
        except Exception as error:  # noqa: BLE001 - the client waits for an answer, whatever happened
            return {"id": number, "ok": False, "error": internal(error).as_json()}

    def _watch(self) -> None:
        while not self._served.wait(IDLE_LIMIT / 30):
            if not self._under_way and time.monotonic() - self._last > IDLE_LIMIT:
                os._exit(0)  # the main thread blocks in a read; the kernel releases our lock


def parsed(line: str | bytes) -> Json:
    """Parse one line as a request. Raises `AgentError` (``invalid``)."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict) or not isinstance(request.get("id"), int):
        raise AgentError(
            "invalid", "a request to the agent must be a JSON object on one line, with a number as its id"
        )
    return request


def internal(error: Exception) -> AgentError:
    """Return the error for a fault in the agent.

    The result has the type of `error` and the line of code that raised it, but not its text. The text may
    quote the content of a file.
    """
    place, trace = "unknown", error.__traceback__
    while trace is not None:
        place, trace = _place(trace), trace.tb_next
    return AgentError(
        "internal",
        f"the agent failed: {type(error).__name__} at {place}",
        hint="this is a fault of Portcullis; please report it",
    )


def _place(trace: TracebackType) -> str:
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
