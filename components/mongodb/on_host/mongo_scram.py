"""The client's half of SCRAM-SHA-256.

The client sends no password, and the server must prove that it knows the password.

RFC 5802 and RFC 7677 define SCRAM. This page says how MongoDB sends the messages of SCRAM:
https://github.com/mongodb/specifications/blob/master/source/auth/auth.md#scram-sha-256
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import unicodedata

MOST_ROUNDS = 1_000_000  # a server that asks for more only wastes our time; MongoDB asks for 15,000
FEWEST_ROUNDS = 4096  # RFC 7677: with fewer rounds, an eavesdropper could guess the password


class ServerUnproven(Exception):
    """The server does not know the password, or does not speak SCRAM. We must not trust such a server."""


class Conversation:
    """One login: `first` and `final` give the client's messages, `verify` checks the server's proof."""

    def __init__(self, user: str, password: str, nonce: str | None = None) -> None:
        """Prepare the first message."""
        self._password = prepared(password)
        self._nonce = nonce or base64.b64encode(secrets.token_bytes(24)).decode()
        name = user.replace("=", "=3D").replace(",", "=2C")
        self._first_bare = f"n={name},r={self._nonce}"
        self._signature = b""

    def first(self) -> bytes:
        """Return the first message."""
        return f"n,,{self._first_bare}".encode()

    def final(self, server_first: bytes) -> bytes:
        """Return the client's proof. Raises `ServerUnproven` if the challenge is not valid."""
        said = _parts(server_first)
        nonce, rounds = said.get("r", ""), said.get("i", "")
        # A nonce that does not begin with ours belongs to another login.
        if (
            not nonce.startswith(self._nonce)
            or nonce == self._nonce
            or not re.fullmatch("[0-9]{1,9}", rounds)
        ):
            raise ServerUnproven
        if not FEWEST_ROUNDS <= int(rounds) <= MOST_ROUNDS:
            raise ServerUnproven
        try:
            salt = base64.b64decode(said.get("s", ""), validate=True)
        except ValueError:
            raise ServerUnproven from None
        salted = hashlib.pbkdf2_hmac("sha256", self._password.encode(), salt, int(rounds))
        without_proof = f"c=biws,r={nonce}"
        message = f"{self._first_bare},{server_first.decode()},{without_proof}".encode()
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._signature = _hmac(_hmac(salted, b"Server Key"), message)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, server_final: bytes) -> None:
        """Check the server's own proof. Raises `ServerUnproven` if the proof is wrong."""
        try:
            said = base64.b64decode(_parts(server_final).get("v", ""), validate=True)
        except ValueError:
            raise ServerUnproven from None
        if not self._signature or not hmac.compare_digest(said, self._signature):
            raise ServerUnproven


def prepared(password: str) -> str:
    """Apply the part of SASLprep (RFC 4013) that changes passwords: replace special spaces and letters."""
    if password.isascii():
        return password
    return unicodedata.normalize(
        "NFKC", "".join(" " if unicodedata.category(c) == "Zs" else c for c in password)
    )


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _parts(message: bytes) -> dict[str, str]:
    try:
        text = message.decode("ascii")
    except UnicodeDecodeError:
        raise ServerUnproven from None
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)
