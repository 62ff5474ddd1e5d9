"""The resource tls:index/privateKey:PrivateKey, and the keys of certificates."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from lab.plugins.errors import PluginError, one_error

if TYPE_CHECKING:
    from lab.plugins.values import Properties

_CURVES: dict[str, type[ec.SECP224R1 | ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1]] = {
    "P224": ec.SECP224R1,
    "P256": ec.SECP256R1,
    "P384": ec.SECP384R1,
    "P521": ec.SECP521R1,
}
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def private_key(inputs: Properties) -> tuple[str, Properties]:
    """Make a new private key. Return the key's id (SHA-1 of the public key) and facts."""
    algorithm = inputs["algorithm"]
    key: PrivateKey
    if algorithm == "ED25519":
        key = ed25519.Ed25519PrivateKey.generate()
    elif algorithm == "ECDSA":
        curve = inputs.get("ecdsaCurve", "P224")
        if curve not in _CURVES:
            raise PluginError(one_error(f"ecdsaCurve: {curve!r} is not one of {', '.join(_CURVES)}"))
        key = ec.generate_private_key(_CURVES[curve]())
    elif algorithm == "RSA":
        key = rsa.generate_private_key(65537, inputs.get("rsaBits", 2048))
    else:
        raise PluginError(one_error(f"algorithm: {algorithm!r} is not one of RSA, ECDSA, ED25519"))
    public = key.public_key()
    public_pem = _public_text(public)
    facts: Properties = {
        "privateKeyPem": _traditional_pem(key),
        "privateKeyPemPkcs8": _private_text(key, serialization.PrivateFormat.PKCS8),
        "privateKeyOpenssh": "",
        "publicKeyPem": public_pem,
        "publicKeyOpenssh": "",
        "publicKeyFingerprintMd5": "",
        "publicKeyFingerprintSha256": "",
    }
    if not (
        isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP224R1)
    ):  # SSH has no P224
        line = public.public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        ).decode()
        blob = base64.b64decode(line.split()[1])
        md5 = hashlib.md5(blob, usedforsecurity=False).hexdigest()
        sha256 = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
        facts |= {
            "privateKeyOpenssh": _private_text(key, serialization.PrivateFormat.OpenSSH),
            "publicKeyOpenssh": line + "\n",
            "publicKeyFingerprintMd5": ":".join(md5[i : i + 2] for i in range(0, len(md5), 2)),
            "publicKeyFingerprintSha256": f"SHA256:{sha256}",
        }
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hash_for_state(der), facts


def load_private(pem: str, what: str) -> PrivateKey:
    """Read a private key in PEM.

    Raises:
        PluginError: the text is no key in PEM. The error does not repeat the text.
    """
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError):
        message = one_error(f"{what} is not a private key in PEM")
        raise PluginError(message) from None
    if not isinstance(key, PrivateKey):
        message = one_error(f"{what} is neither an RSA, ECDSA nor ED25519 key")
        raise PluginError(message)
    return key


def algorithm_of(key: PrivateKey) -> str:
    """Return the provider's name for the key's algorithm."""
    if isinstance(key, rsa.RSAPrivateKey):
        return "RSA"
    return "ECDSA" if isinstance(key, ec.EllipticCurvePrivateKey) else "ED25519"


def hash_for_state(der: bytes) -> str:
    """Return the provider's id of a key or a request.

    Like the official provider, this function trims white space from both ends of the DER bytes.
    """
    return hashlib.sha1(der.strip(), usedforsecurity=False).hexdigest()


def _traditional_pem(key: PrivateKey) -> str:
    if isinstance(key, ed25519.Ed25519PrivateKey):  # Go supports PKCS#8 only
        return _private_text(key, serialization.PrivateFormat.PKCS8)
    return _private_text(key, serialization.PrivateFormat.TraditionalOpenSSL)


def _private_text(key: PrivateKey, format_: serialization.PrivateFormat) -> str:
    return key.private_bytes(serialization.Encoding.PEM, format_, serialization.NoEncryption()).decode()


def _public_text(public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> str:
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
