"""One ssh process with the agent at its other end: bytes, threads, and the end of either side."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any

from portcullis.host.bootstrap import AGENT_HEADER, ENDED, HAVE, LOOK, NEED, NO_PYTHON, agent_command
from portcullis.host.bundle import agent_bundle
from portcullis.host.connections import only_looks
from portcullis.host.errors import ConnectionFailed, PythonMissing, SessionBroken, TimedOut
from portcullis.host.ssh_errors import explain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_STDERR_KEPT = 8192
"""Bytes of what ssh and the remote side said last, out of which an error is explained."""
_LEAVES = 5.0  # seconds that the client has to end by itself
LIVES = 4.0
"""Seconds after which a client with nothing to say sends an empty line: the agent ends, and lets go of the
deployment's lock, where it hears nothing for longer (`portcullis.agent.main.IDLE_LIMIT`)."""
LONGEST_ANSWER = 64 << 20
"""Bytes of one answer. A survey of 600 files of the largest size that a file may have fits."""
MOST_OF_A_SESSION = 512 << 20
"""Bytes of all that a host may say in one session."""
_LONGEST_GREETING = 1 << 20
"""Bytes that may come before the first word of ours: banners and noisy shell profiles."""
_PIECE = 1 << 16

Json = dict[str, Any]

# The session is the master of the shared connection, never one that would outlive it.
SHARED = ("-o", "ControlMaster=yes", "-o", "ControlPersist=no")
# A connection of its own, which proves that one can be made.
ALONE = ("-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "ConnectTimeout=10")


class AgentProcess:
    """One ssh process with the agent at its other end."""

    def __init__(self, alias: str, config: Path, project: Path, options: Sequence[str] = SHARED) -> None:
        """Start it. `options` are ssh's own, before those of the configuration.

        With the preview key the host starts an agent of its own, whatever this program brings along.
        """
        path = project / config
        looks = path.exists() and only_looks(path.read_text(), alias)
        command = LOOK if looks else agent_command(agent_bundle().digest)
        argv = ["ssh", "-F", str(config), *options, "-T", alias, command]
        # Its own process group: Ctrl-C in the terminal must not cut a write in the middle.
        self._child = subprocess.Popen(
            argv, cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            process_group=0,
        )  # fmt: skip
        self._waiting: dict[int, Future[Json]] = {}
        self._lock = threading.Lock()
        self._ready: Future[str] = Future()
        # A pipe that nobody reads blocks its writer: only a thread of its own may be blocked by it.
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stderr = b""
        self._abuse = ""
        self.ended = False
        self._threads = [
            threading.Thread(target=target, daemon=True, name=f"{target.__name__} {alias}")
            for target in (self._read_errors, self._read_answers, self._write)
        ]
        for thread in self._threads:
            thread.start()

    def wait_ready(self, timeout: float) -> None:
        """Wait until the host has the agent or takes it."""
        try:
            word = self._ready.result(timeout)
        except FutureTimeout:
            raise TimedOut(f"no session within {timeout:.0f} s", hint="is the host overloaded?") from None
        if word == NO_PYTHON:
            raise self._failure()
        if word == NEED:
            bundle = agent_bundle()
            self._outgoing.put(f"{AGENT_HEADER} {len(bundle.data)}\n".encode() + bundle.data)

    def post(self, message: Json) -> Future[Json]:
        """Send one request and return the promise of its answer; never blocks."""
        answer: Future[Json] = Future()
        with self._lock:
            if self.ended:
                raise self._failure()
            self._waiting[message["id"]] = answer
        self._outgoing.put(json.dumps(message).encode() + b"\n")
        return answer

    @property
    def said(self) -> str:
        """What ssh and the remote side wrote to standard error last."""
        return self._stderr.decode(errors="replace")

    def abandon(self, number: int) -> bool:
        """Stop waiting for an answer; return whether nobody waits for another one."""
        with self._lock:
            self._waiting.pop(number, None)
            return not self._waiting

    def close(self) -> None:
        """Close the session's input; kill the client if it does not go."""
        self._outgoing.put(None)
        try:
            self._child.wait(_LEAVES)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for thread in self._threads:
            thread.join(5)

    def _write(self) -> None:
        assert self._child.stdin is not None  # noqa: S101
        # A broken pipe is no news: the reader sees the end of the process, and knows the reason better.
        with contextlib.suppress(OSError), self._child.stdin as pipe:
            while (data := self._next()) is not None:
                pipe.write(data)
                pipe.flush()

    def _next(self) -> bytes | None:
        """What is to be sent next; None at the end."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._outgoing.get(timeout=LIVES)
            if self._ready.done():
                return b"\n"

    def _read_answers(self) -> None:
        assert self._child.stdout is not None  # noqa: S101
        with self._child.stdout as lines:
            said = 0
            while line := lines.readline(LONGEST_ANSWER + 1):
                said += len(line)
                if self._is_too_much(line, said):
                    break
                if self._ready.done():
                    if line.strip() == ENDED.encode() or not self._answered(line):
                        break
                    continue
                # A login banner or a noisy shell profile may come first.
                word = line.decode(errors="replace").strip()
                if word == ENDED:
                    break
                if word in (HAVE, NEED, NO_PYTHON):
                    self._ready.set_result(word)
            if self._abuse:
                self._child.kill()
        self._threads[0].join(2)  # the reason stands in what ssh said last
        with self._lock:
            self.ended = True
            waiting, self._waiting = self._waiting, {}
        failure = self._failure()
        for future in waiting.values():
            future.set_exception(failure.again())
        if not self._ready.done():
            self._ready.set_exception(failure)
        self._outgoing.put(None)

    def _is_too_much(self, line: bytes, said: int) -> bool:
        """Whether the host says more than it may. What it says is not trusted, and would fill our memory."""
        if not self._ready.done() and said > _LONGEST_GREETING:
            self._abuse = f"the host said more than {_LONGEST_GREETING >> 20} MB before its first word to us"
        elif len(line) > LONGEST_ANSWER:
            self._abuse = f"an answer of the host is longer than {LONGEST_ANSWER >> 20} MB"
        elif said > MOST_OF_A_SESSION:
            self._abuse = f"the host said more than {MOST_OF_A_SESSION >> 20} MB in one session"
        return bool(self._abuse)

    def _answered(self, line: bytes) -> bool:
        """Hand an answer to who waits for it; False where the host is not to be listened to any more."""
        try:
            answer = json.loads(line)
            with self._lock:
                future = self._waiting.pop(answer["id"], None)
        except RecursionError:
            self._abuse = "an answer of the host is nested too deep"
            return False
        except (ValueError, KeyError, TypeError):
            return True
        if future:
            future.set_result(answer)
        return True

    def _read_errors(self) -> None:
        assert self._child.stderr is not None  # noqa: S101
        with self._child.stderr as pipe:
            while piece := pipe.read1(_PIECE):  # type: ignore[attr-defined]
                self._stderr = (self._stderr + piece)[-_STDERR_KEPT:]

    def _failure(self) -> ConnectionFailed:
        if self._abuse:
            return ConnectionFailed(
                self._abuse,
                hint="what a host says is bounded, and this one says what no agent of ours does: "
                "look at it at your provider's console, as at one that somebody else runs",
            )
        if self._ready.done() and not self._ready.exception() and self._ready.result() == NO_PYTHON:
            return PythonMissing(
                "python3 is missing on the host",
                hint="`pulumi up` installs it before its first change; to see drift now, install it by hand",
            )
        said = self.said
        if self._ready.done() and not self._ready.exception():
            last = said.strip().splitlines()[-1:]
            return SessionBroken(
                ": ".join(["the session broke before the answer came", *last]),
                hint="look whether the host is up and has memory left, then run again: every run reads first",
            )
        return explain(said, exit_code=self._child.poll())
