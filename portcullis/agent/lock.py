"""One deployment at a time on a host."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from portcullis.agent import disk
from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from pathlib import Path


class DeployLock:
    """Taken by the first write of a session, held until the process ends, whatever ends it."""

    def __init__(self, path: Path) -> None:
        """Take nothing yet."""
        self._path = path
        self._fd = -1
        self._named = False
        self._guard = threading.Lock()

    def take(self, who: str, stack: str) -> None:
        """Hold the lock from now on. Raises `AgentError` (``locked``) at once when somebody else has it."""
        with self._guard:
            if self._fd < 0:
                self._fd = self._open()
            if who and not self._named:
                since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
                os.ftruncate(self._fd, 0)
                os.pwrite(self._fd, json.dumps({"who": who, "stack": stack, "since": since}).encode(), 0)
                self._named = True

    def release(self) -> None:
        """Let go and leave nothing behind."""
        with self._guard:
            if self._fd >= 0:
                # While it is held: whoever opened it meanwhile finds that it has no name any more.
                self._path.unlink(missing_ok=True)
                os.close(self._fd)
                with contextlib.suppress(OSError):  # something else is in the folder
                    self._path.parent.rmdir()
                self._fd, self._named = -1, False

    def _open(self) -> int:
        while True:
            try:
                self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except FileNotFoundError:
                continue  # its last holder took the folder away just now
            except OSError as error:
                raise disk.write_error(error, self._path) from None
            self._hold(fd)
            try:
                if os.path.samestat(os.fstat(fd), self._path.lstat()):
                    return fd
            except FileNotFoundError:
                pass
            os.close(fd)  # its last holder took it away between the two

    def _hold(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _holder(os.pread(fd, 4096, 0))
            os.close(fd)
            raise AgentError(
                "locked",
                f"{holder} is deploying to this host",
                hint="wait until it has finished; the lock goes by itself when that process ends",
            ) from None


def _holder(data: bytes) -> str:
    """Who holds the lock, from its content; it is empty for a moment after it was taken."""
    try:
        info: dict[str, Any] = json.loads(data)
        return f"{info['who']} (stack {info['stack']}, since {info['since']})"
    except (ValueError, KeyError, TypeError):
        return "somebody else"
