"""The lock that allows one deployment at a time on a host."""

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
    """The deployment's lock, which a session takes before its first write and keeps until its end."""

    def __init__(self, path: Path) -> None:
        """Store the path of the lock; the lock is not taken yet."""
        self._path = path
        self._fd = -1
        self._named = False
        self._guard = threading.Lock()

    def take(self, who: str, stack: str) -> None:
        """Take and keep the lock.

        Raises `AgentError` (``locked``) at once if another deployment holds the lock.
        """
        with self._guard:
            if self._fd < 0:
                self._fd = self._open()
            if who and not self._named:
                since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
                os.ftruncate(self._fd, 0)
                os.pwrite(self._fd, json.dumps({"who": who, "stack": stack, "since": since}).encode(), 0)
                self._named = True

    def release(self) -> None:
        """Release the lock and remove its file."""
        with self._guard:
            if self._fd >= 0:
                # The file is removed while we hold the lock: a process that has just opened the file notices
                # its removal.
                self._path.unlink(missing_ok=True)
                os.close(self._fd)
                with contextlib.suppress(OSError):  # the folder contains other files
                    self._path.parent.rmdir()
                self._fd, self._named = -1, False

    def _open(self) -> int:
        while True:
            try:
                self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except FileNotFoundError:
                continue  # the last holder of the lock has just removed the folder
            except OSError as error:
                raise disk.write_error(error, self._path) from None
            self._hold(fd)
            try:
                if os.path.samestat(os.fstat(fd), self._path.lstat()):
                    return fd
            except FileNotFoundError:
                pass
            os.close(fd)  # the last holder of the lock removed the file between `open` and `flock`

    def _hold(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _holder(os.pread(fd, 4096, 0))
            os.close(fd)
            raise AgentError(
                "locked",
                f"{holder} is deploying to this host",
                hint="wait until this deployment has ended, which releases its lock; then run `up` again",
            ) from None


def _holder(data: bytes) -> str:
    """Return the holder of the lock, from the file's content.

    The file is empty for a moment after a process took the lock.
    """
    try:
        info: dict[str, Any] = json.loads(data)
        return f"{info['who']} (stack {info['stack']}, since {info['since']})"
    except (ValueError, KeyError, TypeError):
        return "somebody else"
