"""Find out which protocol an open port speaks, and whether it requires credentials.

The scan never sends credentials. Some servers speak first: SSH, mail, FTP and MySQL. Other servers get a
PING, which Redis understands and a web server refuses in its own way. Then the scan sends the first messages
of MongoDB, PostgreSQL, TLS and HTTP.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from portcullis.components.mongodb.on_host.mongo_bson import Document, Malformed, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 2.0
"""Seconds that one exchange with a port may take."""
_CONNECT = 5.0  # seconds: TCP sends a lost packet again after one second, and after three
_FIRST_WORD = 0.8  # seconds until a server that speaks first has spoken
_MOST = 4096  # the most bytes that are read of an answer
_OP_MSG = 2013
# https://www.postgresql.org/docs/current/protocol-message-formats.html
_POSTGRES_TLS = struct.pack("!ii", 8, 80877103)  # SSLRequest
_POSTGRES_START = struct.pack("!ii", 23, 3 << 16) + b"user\0postgres\0\0"  # StartupMessage of protocol 3.0
_WORDS = 60  # characters of a greeting that are shown

OPEN, GUARDED, UNKNOWN = "without credentials", "requires credentials", ""


@dataclass(frozen=True)
class Greeting:
    """The answer of an open port.

    Attributes:
        speaks: the protocol, such as ``redis``, ``http`` or ``ssh``; "" if it is unknown.
        said: the greeting of the server, on one short line.
        access: `OPEN` if the port serves clients without credentials, else `GUARDED` or `UNKNOWN`.
    """

    speaks: str
    said: str = ""
    access: str = UNKNOWN

    def json(self) -> dict[str, str]:
        """Return the answer as data for JSON."""
        return asdict(self)


def greet(address: str, port: int, name: str = "") -> Greeting:
    """Ask an open port for its protocol.

    Args:
        address: an IPv4 or IPv6 address.
        port: the open port.
        name: the host name in the request to a web server.
    """
    steps: tuple[Callable[[], Greeting | None], ...] = (
        lambda: _spoken_first_or_redis(address, port, name),
        lambda: _mongo(address, port),
        lambda: _postgres(address, port),
        lambda: _tls(address, port, name),
        lambda: _http(address, port, name),
    )
    for step in steps:
        try:
            found = step()
        except (OSError, ValueError, struct.error, Malformed):
            continue
        if found:
            return found
    return Greeting("", "speaks no known protocol")


def banner(address: str, port: int) -> Greeting:
    """Read the first line of an SSH server, in one connection.

    Raises:
        OSError: the port accepts no connection.
    """
    with _line(address, port) as line:
        return _banner(_words(line, _FIRST_WORD * 4)) or Greeting("", "says nothing")


def http(address: str, port: int, name: str = "") -> Greeting:
    """Ask a web server for the page of a host name. Raises OSError."""
    return _http(address, port, name) or Greeting("", "closes the connection")


def _spoken_first_or_redis(address: str, port: int, name: str) -> Greeting | None:
    with _line(address, port) as line:
        first = _words(line, _FIRST_WORD)
        if first:
            return _banner(first)
        line.sendall(b"PING\r\n")
        answer = _words(line, PATIENCE)
    if answer.startswith(b"HTTP/"):
        # The answer comes from a web server. The server may expect TLS: nginx answers plain HTTP on a TLS
        # port with 400, too.
        asked = _http(address, port, name)
        return (_tls(address, port, name) if asked and " 400" in asked.said else None) or asked
    return _pinged(answer)


def _banner(first: bytes) -> Greeting | None:
    text = _shown(first)
    if first.startswith(b"SSH-"):
        return Greeting("ssh", text, GUARDED)
    # https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html
    if len(first) > 5 and first[3] == 0 and first[4] == 10:  # noqa: PLR2004 - the protocol's version
        return Greeting("mysql", _shown(first[5:].partition(b"\0")[0]), GUARDED)
    if len(first) > 7 and first[3] == 0 and first[4] == 0xFF:  # noqa: PLR2004 - an error
        return Greeting("mysql", _shown(first[7:]), GUARDED)
    if re.match(rb"[2-5][0-9]{2}[ -]", first):
        kind = "ftp" if b"ftp" in first.lower() else "smtp" if b"mtp" in first.lower() else "mail or ftp"
        return Greeting(kind, text)
    return Greeting("", text) if first else None


def _pinged(answer: bytes) -> Greeting | None:
    text = _shown(answer)
    if answer.startswith(b"+PONG"):
        return Greeting("redis", text, OPEN)
    if re.match(rb"-(?:NOAUTH|NOPERM|DENIED|WRONGPASS)", answer):
        return Greeting("redis", text, GUARDED)
    if answer.startswith(b"ERROR\r\n"):
        return Greeting("memcached", text, OPEN)
    return None


def _mongo(address: str, port: int) -> Greeting | None:
    with _line(address, port) as line:
        hello = _asked(line, {"hello": 1, "$db": "admin"})
        if "maxWireVersion" not in hello and "ok" not in hello:
            return None
        listed = _asked(line, {"listDatabases": 1, "nameOnly": True, "$db": "admin"})
        if listed.get("ok") == 1:
            count = len(listed.get("databases") or ())
            return Greeting("mongodb", f"lists its {count} databases", OPEN)
        return Greeting("mongodb", _shown(str(listed.get("errmsg", "")).encode()), GUARDED)


def _asked(line: socket.socket, command: Document) -> dict[str, Any]:
    """Send a command to MongoDB and return its answer.

    MongoDB's protocol: https://github.com/mongodb/specifications/blob/master/source/message/OP_MSG.md
    """
    body = struct.pack("<IB", 0, 0) + encode(command)
    line.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, _OP_MSG) + body)
    size, _, _, kind = struct.unpack("<iiii", _exactly(line, 16))
    if kind != _OP_MSG or not 26 <= size <= 1 << 20:  # noqa: PLR2004 - head, flags, an empty document
        raise Malformed
    return decode(_exactly(line, size - 16)[5:])


def _postgres(address: str, port: int) -> Greeting | None:
    with _line(address, port) as line:
        line.sendall(_POSTGRES_TLS)
        said = line.recv(2)
        if said not in (b"S", b"N"):
            return None
        try:
            return _postgres_started(_trusting().wrap_socket(line) if said == b"S" else line)
        except OSError:
            return Greeting("postgresql")


def _postgres_started(line: socket.socket) -> Greeting:
    """Begin a session without credentials, and read what the server asks for."""
    with line:
        line.sendall(_POSTGRES_START)
        answer = _words(line, PATIENCE)
    if answer[:1] == b"R":
        is_open = answer[5:9] == bytes(4)  # AuthenticationOk
        said = "begins a session" if is_open else "asks for a login"
        return Greeting("postgresql", said, OPEN if is_open else GUARDED)
    # An error of class 28 is about the login: pg_hba.conf admits no such client.
    why = _shown(next((text[1:] for text in answer[5:].split(b"\0") if text[:1] == b"M"), b""))
    return Greeting("postgresql", why, GUARDED if answer[:1] == b"E" and b"\0C28" in answer else UNKNOWN)


def _tls(address: str, port: int, name: str) -> Greeting | None:
    with _line(address, port) as line:
        try:
            with _trusting().wrap_socket(line, server_hostname=name or None) as secure:
                version = str(secure.version())
        except ssl.SSLError as error:
            # A TLS alert shows that the server speaks TLS. Any other error means another protocol.
            return (
                Greeting("tls", _shown(str(error.reason).encode())) if "ALERT" in str(error.reason) else None
            )
    return Greeting("tls", version)


def _trusting() -> ssl.SSLContext:
    """Return settings of TLS that accept every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _http(address: str, port: int, name: str) -> Greeting | None:
    host = name or (f"[{address}]" if ":" in address else address)
    with _line(address, port) as line:
        line.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = _words(line, PATIENCE)
    if not answer.startswith(b"HTTP/"):
        return None
    status = _shown(answer)
    server = re.search(rb"(?im)^server:[ \t]*([^\r\n]*)", answer)
    access = GUARDED if re.match(r"HTTP/\S+ 40[137]\b", status) else UNKNOWN
    return Greeting("http", f"{status}, {_shown(server[1])}" if server else status, access)


def _line(address: str, port: int) -> socket.socket:
    line = socket.create_connection((address, port), timeout=_CONNECT)
    line.settimeout(PATIENCE)
    return line


def _words(line: socket.socket, patience: float) -> bytes:
    line.settimeout(patience)
    try:
        return line.recv(_MOST)
    except TimeoutError:
        return b""
    finally:
        line.settimeout(PATIENCE)


def _exactly(line: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = line.recv(size - len(found))
        if not piece:
            raise Malformed
        found += piece
    return found


def _shown(said: bytes) -> str:
    """Return the first line of an untrusted answer, without control characters."""
    text = said.splitlines()[0].decode("utf-8", "replace") if said.splitlines() else ""
    text = "".join(letter if letter.isprintable() else "·" for letter in text).strip()
    return text if len(text) <= _WORDS else text[:_WORDS] + "…"
