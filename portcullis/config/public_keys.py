"""Checks the public keys in the settings: pinned keys of hosts, and keys that people log in with."""

from __future__ import annotations

import base64
import binascii

_HOST_KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
# Types of keys whose private part never leaves a security token
# (https://man.openbsd.org/ssh-keygen#FIDO_AUTHENTICATOR).
_TOKEN_KEYS = ("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com")
# RequiredRSASize of the SSH server. A shorter key could be declared, but the server would refuse it.
_SHORTEST_RSA = 3072


def host_key(text: str) -> tuple[str, str] | None:
    """Return reason and hint if a text is not the public key of a host, otherwise None."""
    how = "`ssh-keyscan -t ed25519 ADDRESS` prints it; compare it with what your provider's console shows"
    return _public_key(text, _HOST_KEYS, "the public key of a host", how)


def without_address(text: str) -> str:
    """Return a host's public key without the address that ssh-keyscan prints before it."""
    _, _, key = text.partition(" ")
    return key if key.startswith(tuple(f"{kind} " for kind in _HOST_KEYS)) else text


def login_key(text: str) -> tuple[str, str] | None:
    """Return reason and hint if a text is not a public key to log in with, otherwise None."""
    how = "write the line of the .pub file, `ssh-ed25519 AAAA… you@laptop`, without options before it"
    if "PRIVATE KEY" in text:
        return ("is a private key: remove it from this file and make a new key pair", how)
    if fault := _public_key(text, (*_HOST_KEYS, *_TOKEN_KEYS), "a public key", how):
        return fault
    kind, blob = text.split()[:2]
    if kind != "ssh-rsa":
        return None
    bits = int.from_bytes(_strings(base64.b64decode(blob))[0][2]).bit_length()
    if bits >= _SHORTEST_RSA:
        return None
    return (f"is an RSA key of {bits} bits", f"make an Ed25519 key, or RSA with {_SHORTEST_RSA} bits or more")


def _public_key(text: str, kinds: tuple[str, ...], what: str, how: str) -> tuple[str, str] | None:
    parts = text.split()
    if len(parts) < 2 or parts[0] not in kinds or not text.isprintable():  # noqa: PLR2004 - a type and a key
        return (f"is not {what}", how)
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (binascii.Error, ValueError):
        return (f"is not {what}: the part after the type is not base64", how)
    strings, rest = _strings(blob)
    if rest or len(strings) < 2 or strings[0] != parts[0].encode():  # noqa: PLR2004 - the type, then the key
        return (f"is not a complete {parts[0]} key", how)
    return None


def _strings(blob: bytes) -> tuple[list[bytes], bytes]:
    """Split a key into its strings; the first one is its type (RFC 4253, 6.6).

    Each string of the key follows its length in 4 bytes. The second result has the bytes at the end that do
    not form a string.
    """
    strings = []
    while len(blob) >= 4 + int.from_bytes(blob[:4], "big") > 4:  # noqa: PLR2004 - as above
        length = int.from_bytes(blob[:4], "big")
        strings.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return strings, blob
