"""The folder of the HTTP challenge. This folder exists only while a certificate is being issued.

Several certificates are issued at the same time and share the folder. The request that finishes first must
not remove the folder while other requests need it. certbot also creates a missing folder and then removes it,
so we create the folder before certbot runs.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = ".well-known/acme-challenge"

_lock = threading.Lock()
_users: dict[str, int] = {}
_made: dict[str, list[Path]] = {}


def refusal(webroot: Path, error: OSError) -> AgentError:
    """Return the error for a folder into which we cannot write."""
    why = os.strerror(error.errno or 0)
    return AgentError("invalid", f"the token cannot be written into {webroot}: {why}", prop="webroot")


@contextlib.contextmanager
def kept(webroot: Path) -> Iterator[Path]:
    """Create the folder, readable for a web server, and yield its path. Raises `AgentError` (``invalid``)."""
    with _lock:
        made = _made.setdefault(str(webroot), [])
        try:
            for folder in (webroot / ".well-known", webroot / FOLDER):
                if not folder.is_dir():
                    folder.mkdir()
                    made.append(folder)
                    folder.chmod(0o755)
        except OSError as error:
            raise refusal(webroot, error) from None
        _users[str(webroot)] = _users.get(str(webroot), 0) + 1
    try:
        yield webroot / FOLDER
    finally:
        with _lock:
            _users[str(webroot)] -= 1
            if not _users[str(webroot)]:
                for folder in reversed(_made.pop(str(webroot))):
                    with contextlib.suppress(OSError):
                        folder.rmdir()  # fails while the timer's certbot has a file in the folder
