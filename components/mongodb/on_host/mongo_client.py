"""One connection to a MongoDB server: commands over OP_MSG, a login, and TLS if the store uses it.

Every step has a time limit. No error message quotes a command of ours, because a command may contain a
password. https://github.com/mongodb/specifications/blob/master/source/message/OP_MSG.md
"""

from __future__ import annotations

import math
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

from portcullis.components.mongodb.on_host.mongo_bson import Document, Malformed, decode, encode
from portcullis.components.mongodb.on_host.mongo_scram import Conversation, ServerUnproven

if TYPE_CHECKING:
    from types import TracebackType

CONNECT = 3.0  # seconds; the server is on this host
ANSWER = 10.0  # seconds from a command to the end of its answer
_OP_MSG = 2013
_LIMIT = 48_000_000  # bytes of a message; the server has the same limit

# https://github.com/mongodb/mongo/blob/r8.0.0/src/mongo/base/error_codes.yml
UNAUTHORIZED, USER_NOT_FOUND, AUTHENTICATION_FAILED, NOT_INITIATED = 13, 11, 18, 94
_UNKNOWN_COMMAND = (59, 238)  # CommandNotFound, NotImplemented


class Unanswered(Exception):
    """The server cannot be reached, or gave no valid answer in time. The text of the exception says why."""


class Refused(Exception):
    """The server refused a command. `unknown` is True if the server does not know the command."""

    def __init__(self, command: str, code: int, name: str) -> None:
        """Keep the error's code and name, but not its message, which may quote the command."""
        super().__init__(f"the server refuses {command}: {name or f'error {code}'}")
        self.code = code
        self.unknown = code in _UNKNOWN_COMMAND


class LoginRefused(Exception):
    """The server refused a login. `unknown_user` is True if the server has no user of that name."""

    def __init__(self, *, unknown_user: bool) -> None:
        """Keep `unknown_user`: whether the server has no user of that name."""
        super().__init__("the login is refused")
        self.unknown_user = unknown_user


class Client:
    """A connection to a MongoDB server, as a context manager."""

    def __init__(self, address: str, ca: str = "", server_name: str = "", source: str = "") -> None:
        """Prepare a connection. `with` opens it.

        Args:
            address: `host:port`.
            ca: path of the certificates to trust. Without it the connection is not encrypted.
            server_name: the name that the certificate must have.
            source: the address of this host to connect from. If the host does not have it, the connection
                fails.
        """
        self._address = address
        self._ca = ca
        self._server_name = server_name
        self._source = (source, 0) if source else None
        self._socket: socket.socket | None = None
        self._number = 0

    def __enter__(self) -> Client:  # noqa: PYI034 - Self is newer than the agent's Python
        """Connect to the server. Raises `Unanswered` if the server cannot be reached."""
        host, _, port = self._address.rpartition(":")
        try:
            plain = socket.create_connection((host, int(port)), CONNECT, self._source)
        except OSError as error:
            raise Unanswered(_why(error)) from None
        self._socket = plain
        if self._ca:
            import ssl  # noqa: PLC0415 - ssl takes some megabytes, and most stores do not need it

            try:
                context = ssl.create_default_context(cafile=self._ca)
                self._socket = context.wrap_socket(plain, server_hostname=self._server_name)
            except ssl.SSLCertVerificationError as error:
                plain.close()
                raise Unanswered(
                    f"the MongoDB server's certificate is not valid: {error.verify_message}"
                ) from None
            except OSError as error:
                plain.close()
                raise Unanswered(f"the MongoDB server does not speak TLS: {_why(error)}") from None
        return self

    def __exit__(
        self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None
    ) -> None:
        if self._socket is not None:
            self._socket.close()

    def log_in(self, user: str, password: str, database: str) -> None:
        """Log in. Client and server prove to each other that they know the password.

        Raises:
            LoginRefused: the server refuses the login.
            Unanswered: the server did not answer, or did not prove that it knows the password.
        """
        talk = Conversation(user, password)
        start = {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": talk.first(), "$db": database}
        try:
            # The server refuses an unknown user at once, and a wrong password after the proof.
            answer = self._login_step({**start, "options": {"skipEmptyExchange": True}}, unknown_user=True)
            proof = talk.final(_payload(answer))
            on = {"saslContinue": 1, "conversationId": answer.get("conversationId"), "$db": database}
            answer = self._login_step({**on, "payload": proof}, unknown_user=False)
            talk.verify(_payload(answer))
            if not answer.get("done"):  # this server does not skip the empty exchange
                answer = self._login_step({**on, "payload": b""}, unknown_user=False)
            if not answer.get("done"):
                raise ServerUnproven  # noqa: TRY301 - the handler below turns it into an error for people
        except ServerUnproven:
            raise Unanswered("the MongoDB server does not prove that it knows the password") from None

    def _login_step(self, command: Document, *, unknown_user: bool) -> Document:
        try:
            return self.command(command)
        except Refused as error:
            if error.code in (AUTHENTICATION_FAILED, USER_NOT_FOUND):
                raise LoginRefused(unknown_user=unknown_user) from None
            raise Unanswered(str(error)) from None

    def command(self, command: Document) -> Document:
        """Run a command and return the answer. `$db` in the command names the database.

        Raises:
            Refused: the server refused the command.
            Unanswered: it did not answer.
        """
        name = next(iter(command))
        answer = self._ask(command)
        if answer.get("ok") == 1:
            return answer
        raise Refused(name, _number(answer.get("code")), _word(answer.get("codeName")))

    def _ask(self, command: Document) -> Document:
        if self._socket is None:
            raise Unanswered("not connected")
        self._number += 1
        body = struct.pack("<iB", 0, 0) + encode(command)
        head = struct.pack("<iiii", 16 + len(body), self._number, 0, _OP_MSG)
        deadline = time.monotonic() + ANSWER
        try:
            self._socket.settimeout(ANSWER)
            self._socket.sendall(head + body)
            size, _, answers, code = struct.unpack("<iiii", self._receive(16, deadline))
            if code != _OP_MSG or answers != self._number or not 16 + 5 + 5 <= size <= _LIMIT:
                raise Unanswered("the program at the store's address is not a MongoDB server")
            answer = self._receive(size - 16, deadline)
        except OSError as error:
            raise Unanswered(_why(error)) from None
        # One section of kind 0 with the document. A checksum may follow.
        if answer[4] != 0:
            raise Unanswered("the program at the store's address is not a MongoDB server")
        try:
            return decode(answer[5:])
        except Malformed:
            raise Unanswered("the MongoDB server's answer is not valid") from None

    def _receive(self, size: int, deadline: float) -> bytes:
        assert self._socket is not None  # noqa: S101 - for the type checker; `_ask` checks it
        data = bytearray()
        while len(data) < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            piece = self._socket.recv(min(size - len(data), 65536))
            if not piece:
                raise Unanswered("the MongoDB server closed the connection")
            data += piece
        return bytes(data)


def _payload(answer: Document) -> bytes:
    payload = answer.get("payload")
    return payload if isinstance(payload, bytes) else str(payload or "").encode()


def _number(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0


def _word(value: Any) -> str:
    """Return the server's name for an error if the name is one word. A longer text may quote our command."""
    return value if isinstance(value, str) and value.isalnum() and len(value) < 64 else ""  # noqa: PLR2004


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return os.strerror(error.errno) if error.errno else "the connection broke"
