"""Checks new keys, requests and certificates against their inputs.

`compare.py` compares the fields of a certificate with those of the official certificate. Such a comparison
cannot check the signer, the key and the time of a certificate. This module checks signer, key and time
against the inputs.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from lab.plugins.values import reveal

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEAST_SERIAL_BITS = 64  # CAs must have that many: CA/Browser Forum, Baseline Requirements 7.1
_SECOND = timedelta(seconds=1)  # times in a certificate have no fractions


def faults(type_: str, inputs: dict[str, Any], answer: dict[str, Any], made: datetime | None) -> list[str]:
    """Return the faults of an answer to a Create of pulumi-tls.

    Args:
        type_: the resource's type token.
        inputs: the request's properties. If a private key is not in PEM, because the recording has a
            placeholder, the key is not compared.
        answer: the response.
        made: a time shortly before the Create, or None if the time is unknown.
    """
    check = _CHECKS[type_.rpartition(":")[2]]
    return list(check(reveal(inputs), {**reveal(answer["properties"]), "": answer["id"]}, made))


def serial(answer: dict[str, Any]) -> int | None:
    """Return the serial number of the certificate in an answer, or None without a certificate."""
    pem = answer["properties"].get("certPem")
    return x509.load_pem_x509_certificate(pem.encode()).serial_number if pem else None


def _private_key(_: dict[str, Any], key: dict[str, Any], __: datetime | None) -> Iterator[str]:
    public = serialization.load_pem_public_key(key["publicKeyPem"].encode())
    openssh = key["publicKeyOpenssh"]
    if openssh:
        loaded: Any = serialization.load_ssh_public_key(openssh.encode())
        blob = base64.b64decode(openssh.split()[1])
        yield from _same("publicKeyOpenssh", _der(loaded), _der(public))
        md5 = hashlib.md5(blob, usedforsecurity=False).hexdigest()
        yield from _same("publicKeyFingerprintMd5", key["publicKeyFingerprintMd5"].replace(":", ""), md5)
        sha256 = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
        yield from _same("publicKeyFingerprintSha256", key["publicKeyFingerprintSha256"], f"SHA256:{sha256}")
    for name in ("privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh"):
        if _is_pem(key[name]):
            yield from _same(name, _public_of(key[name]), _der(public))
    yield from _same("id", key[""], _hash_for_state(_der(public)))


def _cert_request(inputs: dict[str, Any], made: dict[str, Any], _: datetime | None) -> Iterator[str]:
    request = x509.load_pem_x509_csr(made["certRequestPem"].encode())
    if not request.is_signature_valid:
        yield "certRequestPem: its signature does not fit its key"
    if _is_pem(inputs["privateKeyPem"]):
        yield from _same(
            "certRequestPem: key", _der(request.public_key()), _public_of(inputs["privateKeyPem"])
        )
    der = request.public_bytes(serialization.Encoding.DER)
    yield from _same("id", made[""], _hash_for_state(der))


def _self_signed(inputs: dict[str, Any], made: dict[str, Any], when: datetime | None) -> Iterator[str]:
    certificate = x509.load_pem_x509_certificate(made["certPem"].encode())
    if _is_pem(inputs["privateKeyPem"]):
        yield from _same("certPem: key", _der(certificate.public_key()), _public_of(inputs["privateKeyPem"]))
    yield from _certificate(inputs, made, certificate, certificate, when)


def _locally_signed(inputs: dict[str, Any], made: dict[str, Any], when: datetime | None) -> Iterator[str]:
    certificate = x509.load_pem_x509_certificate(made["certPem"].encode())
    request = x509.load_pem_x509_csr(inputs["certRequestPem"].encode())
    authority = x509.load_pem_x509_certificate(inputs["caCertPem"].encode())
    yield from _same("certPem: key", _der(certificate.public_key()), _der(request.public_key()))
    yield from _certificate(inputs, made, certificate, authority, when)


def _certificate(
    inputs: dict[str, Any],
    made: dict[str, Any],
    certificate: x509.Certificate,
    authority: x509.Certificate,
    when: datetime | None,
) -> Iterator[str]:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError) as error:
        yield f"certPem: is not signed by its authority: {error!r}"
    number = certificate.serial_number
    yield from _same("id", made[""], str(number))
    if number.bit_length() < _LEAST_SERIAL_BITS:
        yield f"certPem: serial number {number} can be guessed"
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    yield from _same("validityStartTime", _whole_seconds(made["validityStartTime"]), start)
    yield from _same("validityEndTime", _whole_seconds(made["validityEndTime"]), end)
    yield from _same("hours", end - start, timedelta(hours=inputs["validityPeriodHours"]))
    if when is not None and not when - _SECOND <= start <= datetime.now(UTC):
        yield f"certPem: is valid from {start}, made after {when}"
    for extension in certificate.extensions:
        identifier = extension.value
        if isinstance(identifier, x509.SubjectKeyIdentifier):
            own = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
            yield from _same("certPem: subject key id", identifier.digest, own.digest)
        elif isinstance(identifier, x509.AuthorityKeyIdentifier):
            found = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            yield from _same("certPem: authority key id", identifier.key_identifier, found.digest)


_CHECKS = {
    "PrivateKey": _private_key,
    "CertRequest": _cert_request,
    "SelfSignedCert": _self_signed,
    "LocallySignedCert": _locally_signed,
}


def _same(what: str, found: object, wanted: object) -> Iterator[str]:
    if found != wanted:
        yield f"{what}: {found!r} is not {wanted!r}"


def _is_pem(text: str) -> bool:
    return text.startswith("-----BEGIN ")


def _public_of(pem: str) -> bytes:
    load = (
        serialization.load_ssh_private_key
        if "OPENSSH" in pem.splitlines()[0]
        else serialization.load_pem_private_key
    )
    return _der(load(pem.encode(), None).public_key())


def _der(key: Any) -> bytes:
    der: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return der


def _hash_for_state(der: bytes) -> str:
    """Return a hash like hashForState of hashicorp/terraform-provider-tls.

    That function trims white space around the bytes.
    """
    return hashlib.sha1(der.strip(), usedforsecurity=False).hexdigest()


def _whole_seconds(text: str) -> datetime:
    return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)
