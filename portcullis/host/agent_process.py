"""One ssh process that runs the agent on a host.

This module handles pipes, threads, and the end of the ssh process.
"""

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
"""Bytes kept of the standard error of ssh and of the remote command. Error messages quote it."""
_TIME_TO_END = 5.0  # seconds that the ssh client gets to end by itself
LIVES = 4.0
"""Seconds without a request after which the client sends an empty line, as a sign of life.

The agent ends and releases the lock of the deploy if it hears nothing for longer
(`portcullis.agent.main.IDLE_LIMIT`).
"""
LONGEST_ANSWER = 64 << 20
"""The largest size of one answer in bytes. A survey of 600 files of maximum size fits."""
MOST_OF_A_SESSION = 512 << 20
"""The largest number of bytes that a host may send in one session."""
_LONGEST_GREETING = 1 << 20
"""The largest number of bytes before the agent's first word: banners and output of shell profiles."""
_PIECE = 1 << 16

Json = dict[str, Any]

# The session itself is the master of the shared connection. No background process may outlive the session.
SHARED = ("-o", "ControlMaster=yes", "-o", "ControlPersist=no")
# These options force a new connection, which proves that a fresh login works.
ALONE = ("-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "ConnectTimeout=10")


class AgentProcess:
    """One ssh process that runs the agent on a host."""

    def __init__(self, alias: str, config: Path, project: Path, options: Sequence[str] = SHARED) -> None:
        """Start the process. `options` are options of ssh, which override the configuration file.

        With the preview key, the host starts its own copy of the agent and ignores the one of this program.
        """
        path = project / config
        looks = path.exists() and only_looks(path.read_text(), alias)
        command = LOOK if looks else agent_command(agent_bundle().digest)
        argv = ["ssh", "-F", str(config), *options, "-T", alias, command]
        # Its own process group, so that Ctrl-C in the terminal does not stop a change halfway.
        try:
            self._child = subprocess.Popen(
                argv, cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                process_group=0,
            )  # fmt: skip
        except OSError as error:
            raise ConnectionFailed(
                f"ssh cannot be started: {error.strerror}",
                hint="install the OpenSSH client on this machine",
            ) from None
        self._waiting: dict[int, Future[Json]] = {}
        self._lock = threading.Lock()
        self._ready: Future[str] = Future()
        # A pipe that nobody reads blocks its writer, so a separate thread writes.
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stderr = b""
        self._violation = ""
        self.ended = False
        self._threads = [
            threading.Thread(target=target, daemon=True, name=f"{target.__name__} {alias}")
            for target in (self._read_errors, self._read_answers, self._write)
        ]
        for thread in self._threads:
            thread.start()

    def wait_ready(self, timeout: float) -> None:
        """Wait until the host has the agent; send the agent if the host needs it."""
        try:
            word = self._ready.result(timeout)
        except FutureTimeout:
            raise TimedOut(
                f"the SSH session to the host did not open within {timeout:.0f} s",
                hint="check whether the host is overloaded",
            ) from None
        if word == NO_PYTHON:
            raise self._failure()
        if word == NEED:
            bundle = agent_bundle()
            self._outgoing.put(f"{AGENT_HEADER} {len(bundle.data)}\n".encode() + bundle.data)

    def post(self, message: Json) -> Future[Json]:
        """Send one request and return a future for the answer. This method never blocks."""
        answer: Future[Json] = Future()
        with self._lock:
            if self.ended:
                raise self._failure()
            self._waiting[message["id"]] = answer
        self._outgoing.put(json.dumps(message).encode() + b"\n")
        return answer

    @property
    def said(self) -> str:
        """The last output of ssh and of the remote command on standard error."""
        return self._stderr.decode(errors="replace")

    def abandon(self, number: int) -> bool:
        """Stop the wait for one answer. Return whether no other answer is pending."""
        with self._lock:
            self._waiting.pop(number, None)
            return not self._waiting

    def kill(self) -> None:
        """End the ssh process at once. If the agent runs already, it finishes its operations and ends."""
        self._child.kill()

    def close(self) -> None:
        """Close the session's input, and kill the ssh process if it does not end in time."""
        self._outgoing.put(None)
        try:
            self._child.wait(_TIME_TO_END)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for thread in self._threads:
            thread.join(5)

    def _write(self) -> None:
        assert self._child.stdin is not None  # noqa: S101
        # Ignore a broken pipe: the reading thread sees the end of the process and can explain it better.
        with contextlib.suppress(OSError), self._child.stdin as pipe:
            while (data := self._next()) is not None:
                pipe.write(data)
                pipe.flush()

    def _next(self) -> bytes | None:
        """Return the next bytes to send, or None at the end."""
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
                if self._exceeds_limit(line, said):
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
            if self._violation:
                self._child.kill()
        self._threads[0].join(2)  # wait for the last lines of ssh, which contain the reason
        with self._lock:
            self.ended = True
            waiting, self._waiting = self._waiting, {}
        failure = self._failure()
        for future in waiting.values():
            future.set_exception(failure.again())
        if not self._ready.done():
            self._ready.set_exception(failure)
        self._outgoing.put(None)

    def _exceeds_limit(self, line: bytes, said: int) -> bool:
        """Tell whether the host exceeds a limit. A host is not trusted, and could fill our memory."""
        if not self._ready.done() and said > _LONGEST_GREETING:
            self._violation = (
                f"the host sent more than {_LONGEST_GREETING >> 20} MB before it started the agent"
            )
        elif len(line) > LONGEST_ANSWER:
            self._violation = f"an answer of the host is longer than {LONGEST_ANSWER >> 20} MB"
        elif said > MOST_OF_A_SESSION:
            self._violation = f"the host sent more than {MOST_OF_A_SESSION >> 20} MB in one session"
        return bool(self._violation)

    def _answered(self, line: bytes) -> bool:
        """Pass an answer of the host to the thread that waits for it.

        Return False if the session must end.
        """
        try:
            answer = json.loads(line)
            with self._lock:
                future = self._waiting.pop(answer["id"], None)
        except RecursionError:
            self._violation = "an answer of the host is nested too deeply"
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
        if self._violation:
            return ConnectionFailed(
                self._violation,
                hint="no agent of Portcullis sends this, so somebody else may control the host: "
                "check the host at your provider's console",
            )
        if self._ready.done() and not self._ready.exception() and self._ready.result() == NO_PYTHON:
            return PythonMissing(
                "python3 is missing on the host",
                hint="`pulumi up` installs python3 before the first change; "
                "to see drift now, install python3 yourself",
            )
        said = self.said
        if self._ready.done() and not self._ready.exception():
            last = said.strip().splitlines()[-1:]
            return SessionBroken(
                ": ".join(["the session broke before the answer came", *last]),
                hint="check that the host is up and has free memory, then run again: "
                "each run reads the present state",
            )
        return explain(said, exit_code=self._child.poll())
