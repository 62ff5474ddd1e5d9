"""Checks of a user's own certificate, so that a preview already reports what nginx would refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portcullis.config.faults import SettingPath

_SOON = timedelta(days=30)
_RENEW = "renew it with its issuer"


def read(path: str) -> str:
    """Return the text of a certificate file. The path is relative to the project's folder.

    Raises:
        OSError: the file cannot be read.
    """
    return Path(path).expanduser().read_text("ascii", "replace")


def warning(path: str) -> str:
    """Return a warning about a certificate that ends soon or has ended.

    Return "" for a certificate that lasts longer. An expired certificate is no fault, because a stack with
    such a certificate must still be deployable.

    Raises:
        OSError: the file cannot be read.
    """
    found = x509.load_pem_x509_certificates(read(path).encode("ascii", "replace"))
    left = found[0].not_valid_after_utc - datetime.now(UTC)
    until = f"{found[0].not_valid_after_utc:%Y-%m-%d}"
    if left < timedelta():
        return f"the certificate in {path} expired on {until}, and browsers refuse the site; {_RENEW}"
    return f"the certificate in {path} ends on {until}; {_RENEW}" if left < _SOON else ""


def check(path: str, key: str, names: Iterable[str], at: SettingPath) -> None:
    """Report the faults of a certificate, its chain and its key for a site with these names.

    Args:
        path: the file of the certificate and its chain.
        key: the private key, in PEM. No message shows the key.
        names: every host name that the certificate must contain.
        at: the path of the certificate in the settings, for messages.
    """
    found = chain(path, at.field("chain"))
    public = _public(key, at.field("key"))
    if not found:
        return
    leaf = found[0]
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public is not None and public != leaf.public_key().public_bytes(*form):
        at.field("key").report(
            "is not the key of that certificate", "use the key with which the certificate was requested"
        )
    covered = _names(leaf)
    for name in names:
        if name not in covered and not (_wildcard(name) in covered and not name.startswith("*.")):
            at.field("chain").refuse(
                path, f"is not for {name}", f"names of the certificate: {', '.join(covered) or 'none'}"
            )


def chain(path: str, at: SettingPath) -> list[x509.Certificate]:
    """Return the certificates in a file.

    If the file cannot be used, report the fault under the settings path `at`, and return an empty list.
    """
    try:
        text = read(path)
    except OSError as error:
        at.refuse(path, f"cannot be read: {error.strerror}", "the path is relative to the project's folder")
        return []
    if "PRIVATE KEY" in text:
        at.refuse(path, "holds a private key", "keys are secrets: move the key to an encrypted secret")
    try:
        return x509.load_pem_x509_certificates(text.encode("ascii", "replace"))
    except ValueError:
        at.refuse(path, "holds no certificate in PEM", "such a text begins with -----BEGIN CERTIFICATE-----")
        return []


def _public(key: str, at: SettingPath) -> bytes | None:
    """Return the public key of a private key. No error message shows the private key's text."""
    try:
        private = load_pem_private_key(key.encode(), None)
    except TypeError:
        at.report("has a passphrase, which nginx cannot enter", "remove the passphrase")
    except (ValueError, UnsupportedAlgorithm):
        at.report("is not a private key in PEM", "such a text begins with -----BEGIN PRIVATE KEY-----")
    else:
        return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return None


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in found.value.get_values_for_type(x509.DNSName)]


def _wildcard(name: str) -> str:
    return f"*.{name.partition('.')[2]}"
