"""Runs programs without a shell and with a timeout. The programs do not get our own stdin and stdout."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OUTPUT_LIMIT = 4 * 1024 * 1024  # bytes of a program's output that we keep

# The environment of the programs, instead of our own. The C locale makes their output fit for parsing.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C",
}


@dataclass(frozen=True)
class Done:
    """How a program ended: its exit code (negative: a signal) and its output."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Return standard output and then standard error, as one text for people."""
        return "\n".join(part for part in (self.out.strip(), self.err.strip()) if part)


class Runner(Protocol):
    """Runs programs on the host. Tests replace this class by one that returns prepared output."""

    def __call__(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
        """Run a program to its end. Raises `AgentError` (``timeout``, ``invalid``)."""
        ...


def run(argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
    """Run `argv` to its end and return what it printed.

    Output goes to memory files, not to pipes. If we used pipes, a daemon that the program leaves behind would
    keep the pipe open, and we would wait for it.

    Args:
        argv: program and arguments; no shell.
        timeout: seconds, after which the whole process group is killed.
        env: environment variables in addition to `ENVIRONMENT`.

    Raises:
        AgentError: ``timeout``, or ``invalid`` when the program does not exist or cannot be executed.
    """
    out, err = os.memfd_create("out"), os.memfd_create("err")
    try:
        process = _start(argv, out, err, env)
        try:
            code = _wait(process, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AgentError(
                "timeout",
                f"the command {argv[0]} did not end within {timeout:.0f} s and was stopped",
                detail=_tail(out, err),
            ) from None
        return Done(code, _read(out), _read(err))
    finally:
        os.close(out)
        os.close(err)


def _wait(process: subprocess.Popen[bytes], timeout: float) -> int:
    """Wait for the end of a process.

    We use a pidfd, because `Popen.wait` checks at growing intervals and notices the end late.
    """
    try:
        end = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # an old kernel, or a Python that was built on one
        return process.wait(timeout)
    try:
        poll = select.poll()
        poll.register(end, select.POLLIN)
        if not poll.poll(timeout * 1000):
            raise subprocess.TimeoutExpired(process.args, timeout)
    finally:
        os.close(end)
    return process.wait()


def _start(argv: Sequence[str], out: int, err: int, env: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**ENVIRONMENT, **(env or {})},
            cwd="/",
            start_new_session=True,
            # Not our own umask, which protects our records: `nginx -t` makes log files for others than root.
            umask=0o022,
        )
    except FileNotFoundError:
        raise AgentError("invalid", f"there is no program {argv[0]} on the host") from None
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise AgentError(
            "invalid", f"the program {argv[0]} is on the host but cannot be executed: {why}"
        ) from None


def _read(fd: int) -> str:
    return os.pread(fd, OUTPUT_LIMIT, 0).decode("utf-8", "replace")


def _tail(out: int, err: int) -> str:
    return "\n".join((_read(out) + _read(err)).splitlines()[-20:])
