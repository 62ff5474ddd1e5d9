"""Makes certificate requests and certificates."""

from __future__ import annotations

import ipaddress
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from lab.plugins.errors import PluginError, one_error
from lab.plugins.tls_plugin.keys import PrivateKey, algorithm_of, hash_for_state, load_private

if TYPE_CHECKING:
    from lab.plugins.values import Properties

# These names are in the order of Go's crypto/x509.
_SUBJECT = (
    ("country", NameOID.COUNTRY_NAME),
    ("organization", NameOID.ORGANIZATION_NAME),
    ("organizationalUnit", NameOID.ORGANIZATIONAL_UNIT_NAME),
    ("locality", NameOID.LOCALITY_NAME),
    ("province", NameOID.STATE_OR_PROVINCE_NAME),
    ("streetAddresses", NameOID.STREET_ADDRESS),
    ("postalCode", NameOID.POSTAL_CODE),
    ("commonName", NameOID.COMMON_NAME),
    ("serialNumber", NameOID.SERIAL_NUMBER),
    ("emailAddress", NameOID.EMAIL_ADDRESS),
)
_KEY_USES = {
    "digital_signature": "digital_signature",
    "content_commitment": "content_commitment",
    "key_encipherment": "key_encipherment",
    "data_encipherment": "data_encipherment",
    "key_agreement": "key_agreement",
    "cert_signing": "key_cert_sign",
    "crl_signing": "crl_sign",
    "encipher_only": "encipher_only",
    "decipher_only": "decipher_only",
}
_EXTENDED_USES = {
    "any_extended": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email_protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec_end_system": ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec_tunnel": ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec_user": ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
}


def cert_request(inputs: Properties) -> tuple[str, Properties]:
    """Make a signed certificate request. Return the request's id (SHA-1) and facts."""
    key = load_private(inputs["privateKeyPem"], "privateKeyPem")
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(inputs))
    names = _alternative_names(inputs)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    request = builder.sign(key, _digest(key))
    pem = request.public_bytes(serialization.Encoding.PEM).decode()
    id_ = hash_for_state(request.public_bytes(serialization.Encoding.DER))
    return id_, {"certRequestPem": pem, "keyAlgorithm": algorithm_of(key)}


def self_signed_cert(inputs: Properties) -> tuple[str, Properties]:
    """Make a certificate that its own key signs.

    Return the certificate's id (the serial number) and facts.
    """
    key = load_private(inputs["privateKeyPem"], "privateKeyPem")
    name = _name(inputs)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority = None
    if inputs.get("setAuthorityKeyId"):
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    id_, facts = _sign(
        builder, inputs, key, identifier=identifier, authority=authority, names=_alternative_names(inputs)
    )
    return id_, facts | {"keyAlgorithm": algorithm_of(key)}


def locally_signed_cert(inputs: Properties) -> tuple[str, Properties]:
    """Make a certificate for a request, signed by a CA in PEM.

    Return the certificate's id (the serial number) and facts.

    Raises:
        PluginError: a PEM is invalid, the request's signature is wrong, or `caCertPem` is not the certificate
            of a CA.
    """
    key = load_private(inputs["caPrivateKeyPem"], "caPrivateKeyPem")
    try:
        request = x509.load_pem_x509_csr(inputs["certRequestPem"].encode())
        issuer = x509.load_pem_x509_certificate(inputs["caCertPem"].encode())
    except ValueError as error:
        raise PluginError(one_error(f"certRequestPem or caCertPem is not valid PEM: {error}")) from None
    if not request.is_signature_valid:
        message = one_error("certRequestPem: its signature does not fit its key")
        raise PluginError(message)
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(issuer.subject)
        .public_key(request.public_key())
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(request.public_key())
    authority = _authority(issuer)
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = None
    id_, facts = _sign(builder, inputs, key, identifier=identifier, authority=authority, names=names)
    return id_, facts | {"caKeyAlgorithm": algorithm_of(key)}


def _sign(
    builder: x509.CertificateBuilder,
    inputs: Properties,
    key: PrivateKey,
    *,
    identifier: x509.SubjectKeyIdentifier,
    authority: x509.AuthorityKeyIdentifier | None,
    names: x509.SubjectAlternativeName | None,
) -> tuple[str, Properties]:
    is_ca = inputs.get("isCaCertificate", False)
    start = datetime.now(UTC)
    end = start + timedelta(hours=inputs["validityPeriodHours"])
    serial = secrets.randbits(128) or 1
    builder = builder.serial_number(serial).not_valid_before(start).not_valid_after(end)
    uses = inputs["allowedUses"]
    unknown = sorted(set(uses) - set(_KEY_USES) - set(_EXTENDED_USES))
    if unknown:
        raise PluginError(one_error(f"allowedUses: {unknown[0]!r} is no use of a key"))
    plain = dict.fromkeys(_KEY_USES.values(), False) | {
        _KEY_USES[use]: True for use in uses if use in _KEY_USES
    }
    if any(plain.values()):
        builder = builder.add_extension(x509.KeyUsage(**plain), critical=True)
    extended = [_EXTENDED_USES[use] for use in uses if use in _EXTENDED_USES]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    length = inputs.get("maxPathLength") if is_ca else None
    builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=length), critical=True)
    if is_ca or inputs.get("setSubjectKeyId"):
        builder = builder.add_extension(identifier, critical=False)
    if authority is not None:
        builder = builder.add_extension(authority, critical=False)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    certificate = builder.sign(key, _digest(key))
    return str(serial), {
        "certPem": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "readyForRenewal": False,
        "validityStartTime": rfc3339(start),
        "validityEndTime": rfc3339(end),
    }


def rfc3339(moment: datetime) -> str:
    """Write a time in the form of Go's RFC3339Nano, with microseconds."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _digest(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _name(inputs: Properties) -> x509.Name:
    attributes = []
    for key, oid in _SUBJECT:
        value = (inputs.get("subject") or {}).get(key) or []
        attributes += [
            x509.NameAttribute(oid, part) for part in ([value] if isinstance(value, str) else value)
        ]
    return x509.Name(attributes)


def _alternative_names(inputs: Properties) -> x509.SubjectAlternativeName | None:
    try:
        names: list[x509.GeneralName] = [
            *(x509.DNSName(name) for name in inputs.get("dnsNames") or []),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in inputs.get("ipAddresses") or []),
            *(x509.UniformResourceIdentifier(uri) for uri in inputs.get("uris") or []),
        ]
    except ValueError as error:
        raise PluginError(one_error(str(error))) from None
    return x509.SubjectAlternativeName(names) if names else None


def _authority(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier | None:
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return None
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
