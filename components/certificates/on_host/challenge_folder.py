"""The folder that an authority's questions are answered from: there while somebody needs it, and no longer.

Certificates are asked for at the same time and share it. Whoever came first must not take it from under the
others, nor from under certbot, which makes it too and takes away what it made.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Dict, List

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = ".well-known/acme-challenge"

_lock = threading.Lock()
_users: Dict[str, int] = {}
_made: Dict[str, List[Path]] = {}


def refusal(webroot: Path, error: OSError) -> AgentError:
    """What people are told when nothing can be put there."""
    why = os.strerror(error.errno or 0)
    return AgentError("invalid", f"no token can be put into {webroot}: {why}", prop="webroot")


@contextlib.contextmanager
def kept(webroot: Path) -> Iterator[Path]:
    """Give the folder, made so that a web server can enter it. Raises `AgentError` (``invalid``)."""
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
                        folder.rmdir()  # fails where the timer's certbot has something there
