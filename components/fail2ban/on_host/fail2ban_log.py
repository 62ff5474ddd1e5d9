"""Reads fail2ban's log file, because fail2ban's socket does not tell how far a jail has read its logs."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_LIMIT = 1 << 24  # bytes


class Log:
    """The lines that fail2ban logs after this object was created."""

    def __init__(self, path: str) -> None:
        """Remember the server's log target, which is a path or a word such as SYSLOG."""
        self._path = Path(path)
        self._since = self._size()

    def has(self, text: str) -> bool:
        """Whether a line of the log has this text.

        If the log cannot be read, for example because it is syslog, the answer is True.
        """
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(
                self._since if self._since <= size else 0
            )  # a file that is shorter than before was rotated
            return text.encode() in file.read(_LIMIT)
        return True

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0
