"""Compares an answer of a stand-in with the official answer.

The comparison allows only these differences:

1. Some values are new each time: addresses, MACs, random ids, keys and times. Only their form is compared.
   This holds only for the properties that this module names. Certificates and requests are compared by their
   fields. `issued.py` checks whether a new key, request or certificate is right.
2. Recorded placeholders (private keys) are compared by their kind.
3. Terraform's sets, and the names in `diffs`, have no order.
4. `__pulumi_raw_state_delta`, an internal note of Pulumi's bridge, is left out, because the stand-ins do not
   write it.

The function `exact` allows only two of them: the order of sets and of `diffs`, and the missing
`__pulumi_raw_state_delta`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from cryptography import x509

if TYPE_CHECKING:
    from collections.abc import Callable

_TEXTS = (
    (re.compile(r"^-----BEGIN ([A-Z ]*PRIVATE KEY)-----\n.*\n-----END \1-----\n$", re.DOTALL), r"<\1 PEM>"),
    (re.compile(r"(?<=endpoint clash \()[0-9a-f]{64}"), "<endpoint>"),
)
_IDS = (
    (re.compile(r"^\d{30,39}$"), "<serial number>"),
    (re.compile(r"^[0-9a-f]{40}$"), "<hash>"),
    (re.compile(r"^([a-z]+)[0-9a-f]{8}$"), r"<\1 and 8 hex digits>"),
)
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
_ADDRESS = re.compile(r"^172\.\d+\.\d+\.\d+(?=$|/)")  # the prefix of a network is kept
_FORMS = {
    "validityStartTime": _TIME,
    "validityEndTime": _TIME,
    "ipAddress": _ADDRESS,
    "gateway": _ADDRESS,
    "subnet": _ADDRESS,
    "publicKeyPem": re.compile(r"(?<=-BEGIN PUBLIC KEY-----\n)[A-Za-z0-9+/=\n]+(?=\n-----END)"),
    "publicKeyFingerprintMd5": re.compile(r"^([0-9a-f]{2}:){15}[0-9a-f]{2}$"),
    "publicKeyFingerprintSha256": re.compile(r"^SHA256:[A-Za-z0-9+/]{43}$"),
    "publicKeyOpenssh": re.compile(r"(?<= )[A-Za-z0-9+/=]+(?=\n$)"),
    "endpointId": re.compile(r"^[0-9a-f]{64}$"),
    "macAddress": re.compile(r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$"),
}
_SETS = {
    "diffs",
    "drops",
    "envs",
    "labels",
    "mounts",
    "networkDatas",
    "networksAdvanced",
    "replaces",
    "securityOpts",
    "stables",
    "ulimits",
}
_LEFT_OUT = {"__pulumi_raw_state_delta"}


def normal(value: Any) -> Any:
    """Return the value with a placeholder for every part that may differ."""
    return _each(value, _normal_text)


def exact(value: Any) -> Any:
    """Return the value with sets in one order, and otherwise unchanged."""
    return _each(value, lambda text, _: text)


def _each(value: Any, form: Callable[[str, str], Any], key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _each(item, form, name) for name, item in value.items() if name not in _LEFT_OUT}
    if isinstance(value, list):
        items = [_each(item, form, key) for item in value]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True)) if key in _SETS else items
    return form(value, key) if isinstance(value, str) else value


def _normal_text(text: str, key: str) -> Any:
    if key in _FORMS:
        return _FORMS[key].sub(f"<{key}>", text)
    if text.startswith("-----BEGIN CERTIFICATE REQUEST-----"):
        return _request(x509.load_pem_x509_csr(text.encode()))
    if text.startswith("-----BEGIN CERTIFICATE-----"):
        return _certificate(x509.load_pem_x509_certificate(text.encode()))
    for pattern, form in _TEXTS if key != "id" else _IDS:
        text = pattern.sub(form, text)
    return text


def _request(request: x509.CertificateSigningRequest) -> dict[str, Any]:
    return {
        "subject": request.subject.rfc4514_string(),
        "key": _kind_of_key(request.public_key()),
        "extensions": _extensions(request.extensions),
    }


def _certificate(certificate: x509.Certificate) -> dict[str, Any]:
    assert certificate.signature_hash_algorithm is not None
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "hours": (certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds() / 3600,
        "signed with": certificate.signature_hash_algorithm.name,
        "key": _kind_of_key(certificate.public_key()),
        "extensions": _extensions(certificate.extensions),
    }


def _kind_of_key(key: Any) -> str:
    return f"{type(key).__name__} {getattr(key, 'key_size', '')}"


def _extensions(extensions: x509.Extensions) -> list[str]:
    told = []
    for extension in extensions:
        identifier = isinstance(extension.value, x509.SubjectKeyIdentifier | x509.AuthorityKeyIdentifier)
        what = "<key id>" if identifier else repr(extension.value)
        told.append(f"{extension.oid.dotted_string} critical={extension.critical} {what}")
    return told


def mismatches(official: Any, ours: Any, path: str = "") -> list[str]:
    """Return a line for each difference of two normalised answers."""
    if isinstance(official, dict) and isinstance(ours, dict):
        found = []
        for key in sorted({*official, *ours}):
            place = f"{path}.{key}" if path else key
            if key not in ours:
                found.append(f"{place}: missing, official {official[key]!r}")
            elif key not in official:
                found.append(f"{place}: {ours[key]!r}, officially absent")
            else:
                found += mismatches(official[key], ours[key], place)
        return found
    if isinstance(official, list) and isinstance(ours, list) and len(official) == len(ours):
        return [
            line
            for index, (theirs, own) in enumerate(zip(official, ours, strict=True))
            for line in mismatches(theirs, own, f"{path}[{index}]")
        ]
    return [] if official == ours else [f"{path}: {ours!r}, official {official!r}"]
