"""Sends requests to Docker over its socket, so that no secret is in a command line, environment or file.

The protocol is HTTP. The requests use HTTP 1.0, because Docker then closes the connection after its answer.
So the answer ends when Docker closes the connection. Documentation:
https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

import json
import re
import socket
from typing import IO, TYPE_CHECKING, Any

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_LINE = 1 << 20  # bytes of one line of an answer
_TARGET = re.compile(r"/[A-Za-z0-9._~:/?=&%@+-]*\Z")


class Answer:
    """Docker's answer: a status, then one JSON object per line. The caller has to close the answer."""

    def __init__(self, connection: socket.socket) -> None:
        """Read the answer up to the end of its headers."""
        self._connection = connection
        self._stream: IO[bytes] = connection.makefile("rb")
        words = self._stream.readline(_LINE).split()
        self.status = int(words[1]) if len(words) > 1 and re.fullmatch(rb"[0-9]{3}", words[1]) else 0
        while self._stream.readline(_LINE).strip():
            pass

    def __enter__(self) -> Answer:  # noqa: PYI034 - Self is newer than hosts are
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._connection.close()

    def objects(self) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of Docker's answer. A line without a JSON object is skipped."""
        for line in iter(lambda: self._stream.readline(_LINE), b""):
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict):
                yield found

    def document(self) -> Any:
        """Return the whole answer as one JSON document. Raises `AgentError` (``unreadable``)."""
        try:
            return json.loads(self._stream.read())
        except (ValueError, RecursionError, OSError):
            raise AgentError("unreadable", "Docker's answer is cut off or is not JSON") from None

    def error(self) -> str:
        """Return why Docker refuses the request."""
        said = next(self.objects(), {}).get("message")
        return str(said) if said else f"status {self.status}"


def ask(
    path: Path, method: str, target: str, *, timeout: float, headers: Mapping[str, str] | None = None
) -> Answer | None:
    """Send a request and return the answer; None where the host has no Docker.

    Args:
        path: Docker's socket.
        method: GET or POST, without a body.
        target: path and query.
        timeout: seconds to wait for the next byte.
        headers: they may hold secrets.

    Raises:
        AgentError: ``unreadable`` when Docker is installed but does not answer, ``invalid`` for a malformed
            target.
    """
    if not _TARGET.match(target):
        raise AgentError("invalid", f"the request target {target!r} is not a path of Docker's API")
    lines = [f"{method} {target} HTTP/1.0", "Host: docker", "Content-Length: 0"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        connection.connect(str(path))
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return Answer(connection)
    except FileNotFoundError:
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise silent(error) from None


def silent(error: OSError) -> AgentError:
    """Return the error that says that the Docker daemon does not answer."""
    why = "the time ran out" if isinstance(error, TimeoutError) else error.strerror or type(error).__name__
    return AgentError(
        "unreadable", f"Docker does not answer on the host: {why}", hint="look at `systemctl status docker`"
    )
