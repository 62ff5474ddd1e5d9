"""The properties of pulumi-tls 5.6.2's resources, from the schemas of hashicorp/terraform-provider-tls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.plugins.fields import flag, number, official_only, record, text, texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.plugins.fields import Field

PRIVATE_KEY: Mapping[str, Field] = {
    "algorithm": text(required=True, replaces=True),
    "ecdsaCurve": text(default="P224", replaces=True, computed=True),
    "rsaBits": number(default=2048, replaces=True, computed=True),
    "privateKeyOpenssh": text(output=True, secret=True),
    "privateKeyPem": text(output=True, secret=True),
    "privateKeyPemPkcs8": text(output=True, secret=True),
    "publicKeyFingerprintMd5": text(output=True),
    "publicKeyFingerprintSha256": text(output=True),
    "publicKeyOpenssh": text(output=True),
    "publicKeyPem": text(output=True),
}

_SUBJECT = record(
    {
        "commonName": text(),
        "country": text(),
        "emailAddress": text(),
        "locality": text(),
        "organization": text(),
        "organizationalUnit": text(),
        "postalCode": text(),
        "province": text(),
        "serialNumber": text(),
        "streetAddresses": texts("list"),
    },
    replaces=True,
)

_NAMES: Mapping[str, Field] = {
    "dnsNames": texts("list", replaces=True),
    "ipAddresses": texts("list", replaces=True),
    "uris": texts("list", replaces=True),
}

_CERTIFICATE: Mapping[str, Field] = {
    "allowedUses": texts("list", required=True, replaces=True),
    "certPem": text(output=True),
    "earlyRenewalHours": number(default=0, computed=True),
    "isCaCertificate": flag(default=False, replaces=True, computed=True),
    "maxPathLength": number(replaces=True),
    "readyForRenewal": flag(output=True),
    "setSubjectKeyId": flag(default=False, replaces=True, computed=True),
    "validityEndTime": text(output=True),
    "validityPeriodHours": number(required=True, replaces=True),
    "validityStartTime": text(output=True),
}

CERT_REQUEST: Mapping[str, Field] = {
    **_NAMES,
    "certRequestPem": text(output=True),
    "keyAlgorithm": text(output=True),
    "privateKeyPem": text(required=True, replaces=True, secret=True),
    "privateKeyPemWo": official_only(text()),
    "privateKeyPemWoVersion": official_only(number()),
    "subject": _SUBJECT,
}

SELF_SIGNED_CERT: Mapping[str, Field] = {
    **_CERTIFICATE,
    **_NAMES,
    "keyAlgorithm": text(output=True),
    "privateKeyPem": text(required=True, replaces=True, secret=True),
    "privateKeyPemWo": official_only(text()),
    "privateKeyPemWoVersion": official_only(number()),
    "setAuthorityKeyId": flag(default=False, replaces=True, computed=True),
    "subject": _SUBJECT,
}

LOCALLY_SIGNED_CERT: Mapping[str, Field] = {
    **_CERTIFICATE,
    "caCertPem": text(required=True, replaces=True),
    "caKeyAlgorithm": text(output=True),
    "caPrivateKeyPem": text(required=True, replaces=True, secret=True),
    "caPrivateKeyPemWo": official_only(text()),
    "caPrivateKeyPemWoVersion": official_only(number()),
    "certRequestPem": text(required=True, replaces=True),
}
