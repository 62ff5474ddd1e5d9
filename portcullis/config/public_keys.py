"""Public keys in the settings: of a host, which is pinned, and of people, which let them in."""

from __future__ import annotations

import base64
import binascii

_HOST_KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
# Keys that stay in a security token (https://man.openbsd.org/ssh-keygen#FIDO_AUTHENTICATOR).
_TOKEN_KEYS = ("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com")
# What the SSH server accepts, RequiredRSASize: a shorter key would be declared and never let in.
_SHORTEST_RSA = 3072


def host_key(text: str) -> tuple[str, str] | None:
    """Return reason and hint against the public key of a host, or None."""
    how = "`ssh-keyscan -t ed25519 ADDRESS` prints it; compare it with what your provider's console shows"
    return _public_key(text, _HOST_KEYS, "the public key of a host", how)


def login_key(text: str) -> tuple[str, str] | None:
    """Return reason and hint against a public key that lets somebody in, or None."""
    how = "write the line of the .pub file, `ssh-ed25519 AAAA… you@laptop`, without options before it"
    if "PRIVATE KEY" in text:
        return ("is a private key: take it out of this file and make a new one", how)
    if fault := _public_key(text, (*_HOST_KEYS, *_TOKEN_KEYS), "a public key", how):
        return fault
    kind, blob = text.split()[:2]
    if kind != "ssh-rsa":
        return None
    bits = int.from_bytes(_strings(base64.b64decode(blob))[0][2]).bit_length()
    if bits >= _SHORTEST_RSA:
        return None
    return (f"is an RSA key of {bits} bits", f"{_SHORTEST_RSA} are needed; better, make an Ed25519 key")


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
        return (f"is not a whole {parts[0]} key", how)
    return None


def _strings(blob: bytes) -> tuple[list[bytes], bytes]:
    """Take a key apart: strings, each after its length in 4 bytes, the first its type (RFC 4253, 6.6)."""
    strings = []
    while len(blob) >= 4 + int.from_bytes(blob[:4], "big") > 4:  # noqa: PLR2004 - as above
        length = int.from_bytes(blob[:4], "big")
        strings.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return strings, blob
