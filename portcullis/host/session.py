"""One OpenSSH client process per host, speaking JSON lines with the agent as root.

The provider's four threads share it: each sends a request with a number and waits for the answer
with that number. The process is also the master of the shared connection, so pulumi-docker's own
ssh processes ride on it. It ends when its standard input closes, which happens even when this
process is killed, and the agent ends with it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import IO, Any, Protocol

from .bootstrap import AGENT_HEADER, ENDED, HAVE, NEED, NO_PYTHON, agent_command, install_python_command
from .bundle import agent_bundle
from .connections import BOOTSTRAP_SUFFIX, SSH_CONFIG
from .errors import (
    AgentRefused,
    ConnectionFailed,
    HostError,
    LoginRefused,
    PythonMissing,
    Subject,
    TimedOut,
    Unreachable,
)
from .ssh_errors import explain

OPEN_TIMEOUT = 60.0
READ_TIMEOUT = 60.0
WRITE_TIMEOUT = 1200.0  # apt on a slow mirror
_INSTALL_TIMEOUT = 600.0
_STDERR_KEPT = 8192
_REFUSAL_HOLDS = 60.0
"""Seconds for which an unreachable host is not tried again: hundreds of resources would each wait."""

Json = dict[str, Any]


class Channel(Protocol):
    """Something that answers requests for a host: a session, or canned answers in tests."""

    def request(self, op: str, *, timeout: float, write: bool = False, **arguments: Any) -> Json:
        """Send one request and return the agent's result; raises HostError."""
        ...


class Session:
    """A connection to one host; opened by the first request, reopened once when a read finds it broken.

    Thread-safe. `requests` and `connections` count what was sent and opened, for tests and `make bench`.
    """

    def __init__(self, host: str, *, project: Path | None = None) -> None:
        self.host = host
        self.requests = 0
        self.connections = 0
        self._project = project or Path.cwd()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._refused: tuple[float, ConnectionFailed] | None = None

    def request(
        self, op: str, *, timeout: float = READ_TIMEOUT, write: bool = False, **arguments: Any
    ) -> Json:
        """Send one request and return the agent's result.

        Args:
            op: an operation of the agent.
            timeout: seconds until the whole session is given up.
            write: the operation changes the host. It is never sent twice, and may first install python3.
            arguments: the operation's own fields.

        Raises:
            ConnectionFailed: no session, or it broke.
            TimedOut: no answer in time; the agent finishes or not, the next read tells.
            AgentRefused: the agent said no.
        """
        try:
            return self._request(op, timeout, write, arguments)
        except HostError as error:
            raise error.about(Subject(self.host)) from None

    def close(self) -> None:
        """End the session; the agent finishes what is under way and goes."""
        with self._lock:
            process, self._process = self._process, None
        if process:
            process.close()

    def _request(self, op: str, timeout: float, write: bool, arguments: Json) -> Json:  # noqa: FBT001
        for attempt in (1, 2):
            number = next(self._numbers)
            self.requests += 1
            process, answer = self._post({"id": number, "op": op, **arguments}, write=write)
            try:
                return _result(answer.result(timeout))
            except FutureTimeout:
                self._forget(process)
                raise TimedOut(
                    f"no answer to {op!r} within {timeout:.0f} s",
                    hint="the host may be overloaded; look at it, then run again",
                ) from None
            except ConnectionFailed:
                self._forget(process)
                # A read can be asked again; a write may have happened, so a person decides.
                if write or attempt == 2:  # noqa: PLR2004
                    raise
        raise AssertionError("unreachable")  # pragma: no cover

    def _post(self, message: Json, *, write: bool) -> tuple[_Process, Future[Json]]:
        """Send a request on the open process, or open one with it."""
        with self._lock:
            if self._process is None or self._process.ended:
                if self._refused and time.monotonic() < self._refused[0] + _REFUSAL_HOLDS:
                    raise self._refused[1].again()
                try:
                    self._process, answer = self._open(message, write=write)
                except PythonMissing:
                    raise
                except ConnectionFailed as error:
                    self._refused = time.monotonic(), error
                    raise error.again() from None
            else:
                answer = self._process.post(message)
            return self._process, answer

    def _forget(self, process: _Process) -> None:
        with self._lock:
            if self._process is process:
                self._process = None
        process.close()

    def _open(self, first: Json, *, write: bool) -> tuple[_Process, Future[Json]]:
        config = self._project / SSH_CONFIG
        if not config.exists():
            raise ConnectionFailed(
                f"{SSH_CONFIG} is missing, so nobody knows how to reach it",
                hint="set PULUMI_RUN_PROGRAM=true: the program writes that file from the settings",
            )
        aliases = [self.host]
        text = config.read_text()
        if f"\nHost {self.host}\n" not in text:
            raise ConnectionFailed(
                "the settings declare no host of that name", hint="add it under portcullis:hosts"
            )
        if f"\nHost {self.host}{BOOTSTRAP_SUFFIX}\n" in text:
            aliases.append(self.host + BOOTSTRAP_SUFFIX)
        failure: HostError | None = None
        for alias in aliases:
            try:
                return self._start(alias, first, write=write)
            except (Unreachable, LoginRefused) as error:
                failure = failure or error
        assert failure is not None  # noqa: S101
        raise failure

    def _start(self, alias: str, first: Json, *, write: bool) -> tuple[_Process, Future[Json]]:
        for attempt in (1, 2):
            self.connections += 1
            process = _Process(alias, self._project)
            try:
                # Sent before the host has said a word: that saves the round trip. An agent that never
                # starts never reads it, so sending it again to the next alias is safe.
                answer = process.post(first)
                process.wait_ready(OPEN_TIMEOUT)
            except PythonMissing:
                process.close()
                if not write or attempt == 2:  # noqa: PLR2004
                    raise
                self._install_python(alias)
            except HostError:
                process.close()
                raise
            else:
                return process, answer
        raise AssertionError("unreachable")  # pragma: no cover

    def _install_python(self, alias: str) -> None:
        argv = ["ssh", "-F", str(SSH_CONFIG), "-T", alias, install_python_command()]
        try:
            done = subprocess.run(
                argv, cwd=self._project, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=_INSTALL_TIMEOUT, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise TimedOut(f"installing python3 took longer than {_INSTALL_TIMEOUT:.0f} s") from None
        if done.returncode:
            raise PythonMissing(
                "python3 is missing and could not be installed",
                detail="\n".join((done.stdout + done.stderr).splitlines()[-10:]),
                hint="install python3 on the host by hand, then run again",
            )


class _Process:
    """One ssh process with the agent at its other end."""

    def __init__(self, alias: str, project: Path) -> None:
        bundle = agent_bundle()
        argv = [
            # This process is the master of the shared connection, never one that would outlive it.
            *(
                "ssh",
                "-F",
                str(SSH_CONFIG),
                "-o",
                "ControlMaster=yes",
                "-o",
                "ControlPersist=no",
                "-T",
                alias,
            ),
            agent_command(bundle.digest),
        ]
        # Its own process group: Ctrl-C in the terminal must not cut a write in the middle.
        self._child = subprocess.Popen(
            argv, cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            process_group=0,
        )  # fmt: skip
        self._waiting: dict[int, Future[Json]] = {}
        self._lock = threading.Lock()
        self._ready: Future[str] = Future()
        self._stderr = b""
        self.ended = False
        self._readers = [
            threading.Thread(target=target, daemon=True, name=f"{target.__name__} {alias}")
            for target in (self._read_errors, self._read_answers)
        ]
        for reader in self._readers:
            reader.start()

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
            self._send(f"{AGENT_HEADER} {len(bundle.data)}\n".encode() + bundle.data)

    def post(self, message: Json) -> Future[Json]:
        """Send one request and return the promise of its answer."""
        answer: Future[Json] = Future()
        with self._lock:
            if self.ended:
                raise self._failure()
            self._waiting[message["id"]] = answer
        self._send(json.dumps(message).encode() + b"\n")
        return answer

    def close(self) -> None:
        """Close the session's input; kill the client if it does not go."""
        with contextlib.suppress(OSError):
            self._stdin().close()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for reader in self._readers:
            reader.join(5)

    def _stdin(self) -> IO[bytes]:
        assert self._child.stdin is not None  # noqa: S101
        return self._child.stdin

    def _send(self, data: bytes) -> None:
        try:
            with self._lock:
                self._stdin().write(data)
                self._stdin().flush()
        except (OSError, ValueError):
            # The reader sees the end of the process and knows the reason better.
            self._readers[-1].join(5)
            raise self._failure() from None

    def _read_answers(self) -> None:
        assert self._child.stdout is not None  # noqa: S101
        with self._child.stdout as lines:
            for line in lines:
                word = line.decode(errors="replace").strip()
                if word == ENDED:
                    break
                if self._ready.done():
                    self._answered(line)
                # A login banner or a noisy shell profile may come first.
                elif word in (HAVE, NEED, NO_PYTHON):
                    self._ready.set_result(word)
        self._readers[0].join(2)  # the reason stands in what ssh said last
        with self._lock:
            self.ended = True
            waiting, self._waiting = self._waiting, {}
        failure = self._failure()
        for future in waiting.values():
            future.set_exception(failure)
        if not self._ready.done():
            self._ready.set_exception(failure)

    def _answered(self, line: bytes) -> None:
        try:
            answer = json.loads(line)
            future = self._waiting.pop(answer["id"], None)
        except (ValueError, KeyError, TypeError):
            return
        if future:
            future.set_result(answer)

    def _read_errors(self) -> None:
        assert self._child.stderr is not None  # noqa: S101
        with self._child.stderr as lines:
            for line in lines:
                self._stderr = (self._stderr + line)[-_STDERR_KEPT:]

    def _failure(self) -> ConnectionFailed:
        if self._ready.done() and not self._ready.exception() and self._ready.result() == NO_PYTHON:
            return PythonMissing(
                "python3 is missing on the host",
                hint="`pulumi up` installs it before its first change; to see drift now, install it by hand",
            )
        return explain(self._stderr.decode(errors="replace"), exit_code=self._child.poll())


def _result(answer: Json) -> Json:
    if answer.get("ok"):
        result: Json = answer["result"]
        return result
    raise refusal(answer.get("error") or {})


def refusal(error: Json) -> AgentRefused:
    """Turn the agent's error object into an exception."""
    return AgentRefused(
        error.get("code", "internal"),
        error.get("message", "the agent failed"),
        hint=error.get("hint", ""),
        prop=error.get("property", ""),
        detail=error.get("detail", ""),
    )


_sessions: dict[tuple[Path, str], Session] = {}
_sessions_lock = threading.Lock()


def session(host: str) -> Session:
    """Return this process's session with a host: one per host and project folder, opened when first used."""
    key = (Path.cwd(), host)
    with _sessions_lock:
        if key not in _sessions:
            _sessions[key] = Session(host)
        return _sessions[key]


def who() -> str:
    """Return who deploys, for the message that a second deployment gets."""
    user = os.environ.get("GITHUB_ACTOR") or os.environ.get("USER") or str(os.getuid())
    return f"{user}@{os.uname().nodename} (pid {os.getpid()})"
