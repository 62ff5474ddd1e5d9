"""The reader of certificates reads the same values as the library cryptography, and refuses damaged bytes."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509 as reference
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portcullis.agent import x509
from tests.components.certificates.fake_certbot import issued


@pytest.mark.parametrize("key_type", ["ecdsa", "rsa"])
@pytest.mark.parametrize(
    "names", [["www.example.com"], ["*.example.com", *[f"n{n}.example.com" for n in range(90)]]]
)
@pytest.mark.parametrize("days", [6, 90, 40_000])
def test_it_reads_what_cryptography_reads(key_type: str, names: list[str], days: float) -> None:
    pem, _ = issued(names, age=3, days=days, key_type=key_type, issuer="Let's Encrypt")
    other = reference.load_pem_x509_certificate(pem)
    found = x509.parse(x509.first_of(b"some words before\n" + pem + pem))
    assert found.names == tuple(names)
    assert (found.issuer, found.key_type) == ("Let's Encrypt", key_type)
    assert found.begins == other.not_valid_before_utc.timestamp()
    assert found.ends == other.not_valid_after_utc.timestamp()
    assert found.digest == other.fingerprint(hashes.SHA256()).hex()


def test_without_alternative_names_and_organisation_the_common_names_are_used() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = reference.Name([reference.NameAttribute(NameOID.COMMON_NAME, "odd\nname")])
    now = dt.datetime.now(dt.UTC)
    made = reference.CertificateBuilder(
        name, name, key.public_key(), 1, now, now + dt.timedelta(days=1)
    ).sign(key, hashes.SHA256())  # fmt: skip
    found = x509.parse(made.public_bytes(serialization.Encoding.DER))
    assert (found.names, found.issuer) == (("odd name",), "odd name")


def test_truncated_or_changed_bytes_raise_value_error_only() -> None:
    der = x509.first_of(issued(["www.example.com"])[0])
    for length in range(len(der)):
        with pytest.raises(ValueError, match=r"."):
            x509.parse(der[:length])
    for at in range(len(der)):
        changed = bytearray(der)
        changed[at] ^= 0xFF
        try:
            x509.parse(bytes(changed))
        except ValueError:
            continue


@pytest.mark.parametrize(
    "text", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN PRIVATE KEY-----\nAA=="]
)
def test_text_without_a_certificate_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an X\.509 certificate"):
        x509.first_of(text)
