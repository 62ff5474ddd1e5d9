"""Makes canaries, which are random texts in the place of secrets.

A place may have another spelling of a canary, such as base64.

A search looks for pieces of a canary, so that it also finds a canary that is cut or wrapped.
"""

from __future__ import annotations

import base64
import json
import secrets
import string
from dataclasses import dataclass
from hashlib import md5, sha1, sha256
from typing import TYPE_CHECKING
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

if TYPE_CHECKING:
    from collections.abc import Iterator

_LETTERS = string.ascii_letters + string.digits
_LEAST = 12  # least bytes of a piece, which have 71 random bits
AWKWARD = '/&<"é'
"""Characters that URLs, JSON and shells escape."""


@dataclass(frozen=True, slots=True)
class Canary:
    """A text in the place of a secret.

    The name of a canary is that of its input, such as `secrets.stripeKey`.
    """

    name: str
    text: str

    @property
    def pieces(self) -> list[bytes]:
        """The pieces to search for: both halves of the text, or of the secret number in a private key."""
        if "PRIVATE KEY-----" in self.text:
            return _halves(_private_number(self.text.encode()))
        longest = max(self.text.split(), key=len).encode()
        return _halves(longest.removesuffix(AWKWARD.encode()))

    def forms(self) -> Iterator[tuple[bytes, str]]:
        """Yield every spelling of every piece with its name, and the digests of the whole text."""
        for piece in self.pieces:
            yield from spellings(piece)
        whole = self.text.encode()
        yield from spellings(whole, fragments=False)
        for text in (whole, whole + b"\n"):
            for digest in (md5, sha1, sha256):
                made = digest(text, usedforsecurity=False)
                yield made.hexdigest().encode(), "digest"
                yield base64.b64encode(made.digest()).rstrip(b"="), "digest"


def made(name: str, *, awkward: bool = True) -> Canary:
    """Return a new random canary. Without `awkward` the canary has only letters and digits."""
    word = "".join(secrets.choice(_LETTERS) for _ in range(32))
    return Canary(name, word + (AWKWARD if awkward else ""))


def spellings(piece: bytes, *, fragments: bool = True) -> Iterator[tuple[bytes, str]]:
    """Yield the spellings of some bytes with their names. Without `fragments` base64 and hex are left out."""
    yield piece, "clear"
    text = piece.decode(errors="replace")
    if text.encode() == piece:
        for spelt in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
            yield spelt.encode(), "JSON"
        for spelt in (quote(text), quote(text, safe="")):
            yield spelt.encode(), "URL"
        yield text.encode("utf-16-le"), "UTF-16"
    if fragments:
        yield piece.hex().encode(), "hex"
        yield piece.hex().upper().encode(), "hex"
        for offset in range(3):
            # Without the first and the last characters, which depend on the bytes beside the piece, and
            # without padding.
            first = (0, 2, 3)[offset]
            last = (offset + len(piece)) * 8 // 6
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                yield encode(b"\0" * offset + piece)[first:last], "base64"


def _halves(word: bytes) -> list[bytes]:
    middle = len(word) // 2
    return [word[:middle], word[middle:]] if middle >= _LEAST else [word]


def _private_number(pem: bytes) -> bytes:
    load = load_ssh_private_key if b"OPENSSH" in pem else load_pem_private_key
    key = load(pem, None)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.private_bytes_raw()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.private_numbers().private_value.to_bytes(32, "big")
    if isinstance(key, rsa.RSAPrivateKey):
        number = key.private_numbers().p
        return number.to_bytes(number.bit_length() // 8, "big")[:64]
    raise TypeError(f"unknown type of private key: {type(key).__name__}")
