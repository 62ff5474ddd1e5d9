"""The view of Docker for the preview key.

The view speaks HTTP on standard input and output, and allows a few requests that only read.

No byte of the client goes to Docker. For an allowed request, the view sends Docker a new request over a new
connection. From Docker's answer, the view removes everything that may be a secret. Any other request gets the
status 403, and ends the conversation.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from portcullis.components.previews.on_host.docker_answers import scrubbed

if TYPE_CHECKING:
    from pathlib import Path

_LINE = 8192  # bytes of a request line or header
_HEADERS = 64
_MOST = 64 << 20  # bytes of an answer
_TIMEOUT = 60.0
# A name starts with a letter or digit, so it cannot be a dot segment such as `..`.
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}"
# The reference of an image has slashes. Only the request `images/REFERENCE/json` has such a reference.
_IMAGE = (
    rf"{_NAME}(?::[0-9]{{1,5}})?(?:/{_NAME})*(?::{_NAME})?(?:@sha256:[0-9a-f]{{64}})?|sha256:[0-9a-f]{{64}}"
)
_QUESTIONS = re.compile(
    r"(?:/v1\.[0-9]{1,2})?/(?:"
    r"_ping|version"
    rf"|containers/json|containers/{_NAME}/json"
    rf"|images/json|images/(?:{_IMAGE})/json"
    rf"|networks|networks/{_NAME}"
    rf"|volumes|volumes/{_NAME})\Z"
)
_QUERY = re.compile(r"[A-Za-z0-9_.~:=&%+,-]{0,2048}\Z")
# An answer shows whether a filter matches. So with filters by label, a client could guess a secret label.
_PARAMETERS = ("all", "size", "limit", "trunc_cmd", "only_ids", "scope", "verbose", "filters")
_FILTERS = {"id", "name", "reference"}
_REQUEST = re.compile(rb"(GET|HEAD) (/[!-~]*) HTTP/1\.1\r\n\Z")
_HEADER = re.compile(rb"([A-Za-z0-9-]+):[ \t]*([ -~\t]*)\r\n\Z")
# Forbidden headers: the first one announces a body, the others could change the connection's protocol.
_BODY = ("transfer-encoding", "upgrade", "expect", "trailer", "te", "http2-settings")
_PASSED_ON = ("Api-Version", "Docker-Experimental", "Ostype", "Builder-Version", "Swarm")


class Refused(Exception):
    """A request that is not allowed. The text of the exception is for people."""


class DockerSocket(http.client.HTTPConnection):
    """A connection to Docker's socket for one request."""

    def __init__(self, path: Path) -> None:
        """Prepare the connection. The first request opens the connection."""
        super().__init__("docker", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def serve(source: IO[bytes], out: IO[bytes], docker: Path, shown: set[str]) -> None:
    """Answer requests until the client disconnects or sends a forbidden request.

    Args:
        source: the client's requests.
        out: the stream for the answers.
        docker: path of Docker's socket.
        shown: ids or names of containers whose environment and command hold no secret.
    """
    while True:
        try:
            request = read_request(source)
        except Refused as refusal:
            _send(out, "GET", 403, {"Connection": "close"}, _message(str(refusal)))
            return
        if request is None:
            return
        method, target = request
        status, headers, body = _ask(docker, method, target, shown)
        _send(out, method, status, headers, body)


def read_request(source: IO[bytes]) -> tuple[str, str] | None:
    """Return method and target of the next request, or None at the end of input. Raises `Refused`."""
    line = source.readline(_LINE)
    if not line:
        return None
    found = _REQUEST.match(line)
    if not found:
        method = line.split(b" ", 1)[0][:20].decode("ascii", "replace")
        raise Refused(f"the preview key does not allow the method {method!r}, only GET and HEAD in HTTP/1.1")
    method, target = found[1].decode(), _checked_target(found[2].decode())
    for _ in range(_HEADERS):
        line = source.readline(_LINE)
        if line == b"\r\n":
            return method, target
        header = _HEADER.match(line)
        if not header:
            raise Refused("the request to Docker has an invalid header")
        _check_header(header[1].decode().lower(), header[2].decode().strip())
    raise Refused("the request to Docker has too many headers")


def _check_header(name: str, value: str) -> None:
    if name in _BODY or (name == "content-length" and value != "0"):
        raise Refused(f"the preview key does not allow the header {name} in a request to Docker")
    if name == "connection" and "upgrade" in value.lower():
        raise Refused(
            "the preview key allows no request that changes the protocol to Docker (Connection: upgrade)"
        )


def _checked_target(target: str) -> str:
    path, mark, query = target.partition("?")
    # docker-py writes the @ of a digest as %40. Clients need to escape no other character of a path.
    path = path.replace("%40", "@")
    if not _QUESTIONS.match(path) or not _QUERY.match(query):
        raise Refused(f"the preview key may not read {path[:200]!r} from Docker")
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _PARAMETERS or (name == "filters" and not _is_by_name(value)):
            raise Refused(
                f"the preview key does not allow the parameter {name[:40]!r}, only filters by "
                f"{', '.join(sorted(_FILTERS))}"
            )
    return path + mark + query


def _is_by_name(filters: str) -> bool:
    """Return whether the filters use only properties that every answer shows anyway."""
    try:
        chosen = json.loads(filters)
    except (ValueError, RecursionError):
        return False
    return isinstance(chosen, dict) and set(chosen) <= _FILTERS


def _ask(docker: Path, method: str, target: str, shown: set[str]) -> tuple[int, dict[str, str], bytes]:
    connection = DockerSocket(docker)
    try:
        connection.request(method, target.replace("@", "%40"), headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(_MOST + 1)
        headers = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
        status = answer.status
    except (OSError, http.client.HTTPException) as error:
        return 503, {}, _message(f"Docker does not answer on the host: {type(error).__name__}")
    finally:
        connection.close()
    if len(body) > _MOST or 100 <= status < 200:  # noqa: PLR2004 - informational, upgrades among them
        return 502, headers, _message("the host cannot pass on Docker's answer")
    if method == "HEAD" or status != 200:  # noqa: PLR2004 - as above
        return status, headers, body
    return status, headers, _scrubbed(target.partition("?")[0], body, shown)


def _scrubbed(path: str, body: bytes, shown: set[str]) -> bytes:
    question = re.sub(r"\A/v1\.[0-9]{1,2}", "", path)
    if question == "/_ping":
        return body
    try:
        answer: Any = json.loads(body)
        return json.dumps(scrubbed(question, answer, shown)).encode()
    # We pass on nothing of an answer whose form we do not know.
    except (ValueError, RecursionError, TypeError, AttributeError):
        return _message("the host cannot read Docker's answer")


def _message(message: str) -> bytes:
    text = f"portcullis: the preview key may only read: {message}"
    return json.dumps({"message": text}).encode() + b"\n"


def _send(out: IO[bytes], method: str, status: int, headers: dict[str, str], body: bytes) -> None:
    reason = http.client.responses.get(status, "")
    kind = "text/plain; charset=utf-8" if body == b"OK" else "application/json"
    lines = [f"HTTP/1.1 {status} {reason}", f"Content-Type: {kind}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}"]
    out.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if method == "HEAD" else body))
    out.flush()
