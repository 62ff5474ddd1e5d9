"""A client of Redis' own protocol. The client can log in, read users and set users.

Every server starts a connection with RESP2: https://redis.io/docs/latest/develop/reference/protocol-spec/.
"""

from __future__ import annotations

import contextlib
import re
import socket

from portcullis.agent.errors import AgentError

TIMEOUT = 5.0  # seconds for each answer
LIMIT = 4 * 1024 * 1024  # bytes of one answer
_DEPTH = 8
# In its error, Redis quotes the rule that it refuses, and a rule may be the hash of a password.
_HASH = re.compile(r"#[0-9A-Fa-f]{6,}")


class Refused(Exception):
    """Redis refused a command. The text is the server's message, without hashes."""


Reply = str | int | list["Reply"] | Refused | None


class NotRunning(Exception):
    """No server runs at the address."""


class Untrusted(NotRunning):
    """The server's certificate is not valid, so the agent sends nothing.

    The text of the exception says why.
    """


class Redis:
    """One connection to a Redis server; `close` ends the connection."""

    def __init__(self, address: str, ca: str = "", *, server_name: str = "", source: str = "") -> None:
        """Connect to the server.

        Args:
            address: address and port.
            ca: a file of certificate authorities. With `ca`, one of these authorities must have signed the
                server's certificate.
            server_name: the name that the certificate must have; the address by default.
            source: the address of this host to connect from. If the host lacks this address, the connection
                fails.

        Raises:
            NotRunning: no server listens at the address, or the server's certificate is not valid.
        """
        self.address = address
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        try:
            own = (source, 0) if source else None
            plain = socket.create_connection((host, int(port)), TIMEOUT, own)
        except OSError as error:
            raise NotRunning(str(error.strerror or error)) from None
        try:
            self._socket = self._private(plain, server_name or host, ca) if ca else plain
        except BaseException:
            plain.close()
            raise
        self._buffer = bytearray()
        self._taken = 0

    def _private(self, plain: socket.socket, host: str, ca: str) -> socket.socket:
        import ssl  # noqa: PLC0415 - ssl is large, and most hosts never need it

        try:
            context = ssl.create_default_context(cafile=ca)
            return context.wrap_socket(plain, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            raise Untrusted(str(error.verify_message)) from None
        except OSError:
            # A server refuses TLS before its first certificate exists, and while it changes to TLS.
            raise NotRunning(f"the Redis server at {self.address} does not speak TLS yet") from None

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def log_in(self, user: str, password: str) -> Redis:
        """Log in, and return this connection.

        A failed login closes the connection. Raises the errors of `call`.
        """
        try:
            self.call("AUTH", user, password)
        except BaseException:
            self.close()
            raise
        return self

    def call(self, *words: str) -> Reply:
        """Send a command and return its answer.

        Raises:
            Refused: Redis refused the command.
            NotRunning: the connection ended, as it does while a server starts or stops.
            AgentError: ``unreadable``: the server does not answer in time, or does not speak this protocol.
        """
        try:
            self._socket.sendall(b"*%d\r\n" % len(words) + b"".join(map(_bulk, words)))
            self._taken = 0
            reply = self._reply(0)
        except TimeoutError:
            raise self._unreadable(
                f"the Redis server at {self.address} did not answer within {TIMEOUT:.0f} s"
            ) from None
        except OSError as error:
            raise NotRunning(str(error.strerror or "the connection ended")) from None
        if isinstance(reply, Refused):
            raise reply
        return reply

    def _reply(self, depth: int) -> Reply:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return _text(rest)
        if kind == b"-":
            return Refused(_HASH.sub("#…", _text(rest)))
        try:
            number = int(rest)
        except ValueError:
            number = LIMIT + 1
        if kind == b":":
            return number
        if kind == b"$" and number <= LIMIT:
            return None if number < 0 else _text(self._bytes(number + 2)[:-2])
        if kind == b"*" and number <= LIMIT and depth < _DEPTH:
            return None if number < 0 else [self._reply(depth + 1) for _ in range(number)]
        raise self._unreadable(f"the program at {self.address} does not speak Redis' protocol")

    def _line(self) -> bytes:
        while True:
            end = self._buffer.find(b"\r\n")
            if end >= 0:
                return self._bytes(end + 2)[:-2]
            self._more()

    def _bytes(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found

    def _more(self) -> None:
        piece = self._socket.recv(65536)
        if not piece:
            raise ConnectionResetError
        self._taken += len(piece)
        if self._taken > LIMIT:
            raise self._unreadable(f"the program at {self.address} answers with more than {LIMIT >> 20} MB")
        self._buffer += piece

    def _unreadable(self, what: str) -> AgentError:
        return AgentError(
            "unreadable",
            f"the program at {self.address} {what}",
            prop="address",
            hint="`ss -ltnp` on the host shows which program it is",
        )


def texts(reply: Reply) -> list[str]:
    """Return the texts in a list that Redis answered."""
    return [part for part in reply if isinstance(part, str)] if isinstance(reply, list) else []


def _bulk(word: str) -> bytes:
    data = word.encode()
    return b"$%d\r\n%s\r\n" % (len(data), data)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
