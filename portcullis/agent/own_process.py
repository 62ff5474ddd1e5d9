"""Runs a function in a process of its own, with limits for its time.

A user of the host can make a file that takes long to read. With the limits, only one answer is missing.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import resource
import select
import signal
import time
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar, cast

from portcullis.agent.disk import write_all
from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Callable

CPU = 20
"""The process is killed after this number of seconds of CPU time."""
DEADLINE = 30.0
"""After this number of seconds, nobody waits for the process any more. A client waits 120 seconds for its
answer."""
_PIECE = 1 << 16
_ANSWER = 3  # the descriptor to which the process writes, after stdin, stdout and stderr
_FD_LIMIT = 1 << 16  # close_range(2) skips descriptors that are not open

T = TypeVar("T")


class OwnProcess(Generic[T]):
    """A function that runs in a process of its own.

    We do not use `multiprocessing`: at its exit it waits for a process that hangs in the kernel.
    """

    def __init__(self, function: Callable[[], T], *, cpu: int = CPU, deadline: float = DEADLINE) -> None:
        """Start `function`. The caller must call `result` once.

        Args:
            function: must not raise. No other thread may hold a lock that it takes.
            cpu: seconds of CPU time.
            deadline: seconds until `result` stops waiting.
        """
        self._cpu, self._deadline, self._end = cpu, deadline, time.monotonic() + deadline
        self._answer, answer = os.pipe()
        self._id = -1
        try:
            self._id = os.fork()
        except OSError as error:  # the host has no memory or no process left
            self._failed = f"it cannot have a process of its own: {error.strerror}"
        if not self._id:
            _run(function, answer, cpu)
        os.close(answer)

    def result(self) -> T:
        """Return what the function returned. Raises `AgentError` (``timeout``, ``internal``)."""
        data = bytearray()
        try:
            while piece := self._piece():
                data += piece
        finally:
            os.close(self._answer)
        if self._id < 0:
            raise AgentError("internal", self._failed)
        code = os.waitstatus_to_exitcode(os.waitpid(self._id, 0)[1])
        if code == -signal.SIGXCPU:
            raise AgentError("timeout", f"it took more than {self._cpu} s of CPU time")
        if code:
            raise AgentError("internal", f"the process for it ended with code {code}")
        return cast("T", pickle.loads(data))  # noqa: S301 - our own process wrote it

    def _piece(self) -> bytes:
        """Return the next bytes that the process wrote, or nothing at its end."""
        poll = select.poll()
        poll.register(self._answer, select.POLLIN)
        if poll.poll(max(0.0, self._end - time.monotonic()) * 1000):
            return os.read(self._answer, _PIECE)
        os.kill(self._id, signal.SIGKILL)
        # A process that hangs in the kernel does not end now, so we do not wait for its end.
        os.waitpid(self._id, os.WNOHANG)
        raise AgentError("timeout", f"it took more than {self._deadline:.0f} s")


def _run(function: Callable[[], object], answer: int, cpu: int) -> NoReturn:
    """Write the result of `function` to `answer`, and exit without the cleanup of the first process."""
    code = 1
    with contextlib.suppress(BaseException):
        # A process that hangs must keep neither the lock of the agent nor its connection to the client.
        null = os.open(os.devnull, os.O_RDWR)
        for target, fd in enumerate((null, null, null, answer)):
            os.dup2(fd, target)
        os.closerange(_ANSWER + 1, _FD_LIMIT)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
        gc.freeze()  # the first process's objects stay shared
        write_all(_ANSWER, pickle.dumps(function()))
        code = 0
    os._exit(code)
