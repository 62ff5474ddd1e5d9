"""The checks of new keys, requests and certificates find wrong ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab.plugins.tls_plugin import certificates, keys
from lab.plugins.tls_plugin.certificates import rfc3339
from tests.contract import issued
from tests.contract.recorded import FILES, LAB_FILES, calls
from tests.contract.world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.contract.recorded import Call

    Json = dict[str, Any]

TLS = "tls:index/"
MADE = datetime.now(UTC)
STRANGER = ec.generate_private_key(ec.SECP256R1())


def answer(made: tuple[str, Json]) -> Json:
    return {"id": made[0], "properties": made[1]}


def key() -> Json:
    return answer(keys.private_key({"algorithm": "ECDSA", "ecdsaCurve": "P256"}))


CA_KEY, LEAF_KEY = key(), key()
CA_INPUTS = {
    "privateKeyPem": CA_KEY["properties"]["privateKeyPem"], "subject": {"commonName": "authority"},
    "isCaCertificate": True, "setAuthorityKeyId": True, "validityPeriodHours": 87600,
    "allowedUses": ["cert_signing"],
}  # fmt: skip
CA = answer(certificates.self_signed_cert(CA_INPUTS))
REQUEST_INPUTS = {
    "privateKeyPem": LEAF_KEY["properties"]["privateKeyPem"], "subject": {"commonName": "redis"},
    "dnsNames": ["redis"],
}  # fmt: skip
REQUEST = answer(certificates.cert_request(REQUEST_INPUTS))
LEAF_INPUTS = {
    "certRequestPem": REQUEST["properties"]["certRequestPem"],
    "caPrivateKeyPem": CA_KEY["properties"]["privateKeyPem"], "caCertPem": CA["properties"]["certPem"],
    "validityPeriodHours": 8760, "allowedUses": ["server_auth"], "setSubjectKeyId": True,
}  # fmt: skip
LEAF = answer(certificates.locally_signed_cert(LEAF_INPUTS))


def forged(made: Json, signer: Any = None, **other: Any) -> Json:
    """Return the answer with a certificate that differs in one field.

    The other properties fit this certificate.
    """
    found = x509.load_pem_x509_certificate(made["properties"]["certPem"].encode())
    start, end = found.not_valid_before_utc, found.not_valid_after_utc
    builder = x509.CertificateBuilder(
        found.issuer,
        found.subject,
        other.get("public_key", found.public_key()),
        other.get("serial", found.serial_number),
        other.get("start", start),
        other.get("end", end),
        list(found.extensions),
    )
    signer = signer or serialization.load_pem_private_key(CA_INPUTS["privateKeyPem"].encode(), None)
    pem = builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    said = {
        "certPem": pem,
        "validityStartTime": rfc3339(other.get("start", start)),
        "validityEndTime": rfc3339(other.get("end", end)),
    }
    return {
        "id": str(other.get("serial", found.serial_number)),
        "properties": {**made["properties"], **said, **other.get("said", {})},
    }


def wrong(kind: str, inputs: Json, made: Json) -> list[str]:
    return issued.faults(f"{TLS}x:{kind}", inputs, made, MADE)


def test_what_the_stand_in_makes_is_right() -> None:
    assert wrong("PrivateKey", {}, CA_KEY) == []
    assert wrong("SelfSignedCert", CA_INPUTS, CA) == []
    assert wrong("CertRequest", REQUEST_INPUTS, REQUEST) == []
    assert wrong("LocallySignedCert", LEAF_INPUTS, LEAF) == []
    assert wrong("LocallySignedCert", LEAF_INPUTS, forged(LEAF)) == [], "forging changes nothing by itself"


@pytest.mark.parametrize("kind", ["SelfSignedCert", "LocallySignedCert"])
@pytest.mark.parametrize(
    ("forge", "found"),
    [
        (lambda made: forged(made, STRANGER), "is not signed by its authority"),
        (lambda made: forged(made, public_key=STRANGER.public_key()), "certPem: key"),
        (lambda made: forged(made, serial=1), "serial number 1 can be guessed"),
        (lambda made: {**forged(made), "id": "1"}, "id: '1' is not"),
        (lambda made: forged(made, start=datetime(2020, 1, 1, tzinfo=UTC)), "is valid from 2020"),
        (lambda made: forged(made, end=datetime(2099, 1, 1, tzinfo=UTC)), "hours: "),
        (lambda made: forged(made, said={"validityEndTime": "2099-01-01T00:00:00Z"}), "validityEndTime: "),
        (
            lambda made: forged(made, said={"validityStartTime": "2020-01-01T00:00:00Z"}),
            "validityStartTime: ",
        ),
    ],
    ids=["stranger", "key", "serial", "id", "start", "end", "said end", "said start"],
)
def test_a_wrong_certificate_is_found(kind: str, forge: Callable[[Json], Json], found: str) -> None:
    inputs, made = (CA_INPUTS, CA) if kind == "SelfSignedCert" else (LEAF_INPUTS, LEAF)
    assert found in "\n".join(wrong(kind, inputs, forge(made)))


def test_a_key_or_request_that_does_not_fit_is_found() -> None:
    other = key()["properties"]
    for part in (
        "privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh", "publicKeyOpenssh",
        "publicKeyFingerprintMd5", "publicKeyFingerprintSha256",
    ):  # fmt: skip
        mixed = {**CA_KEY, "properties": {**CA_KEY["properties"], part: other[part]}}
        assert part in "\n".join(wrong("PrivateKey", {}, mixed))
    assert "certRequestPem: key" in "\n".join(
        wrong("CertRequest", {**REQUEST_INPUTS, "privateKeyPem": other["privateKeyPem"]}, REQUEST)
    )


def test_the_official_ones_are_right() -> None:
    """The official answers pass the checks, so the checks describe the official plugin."""
    made = [
        call
        for file in (*FILES, *LAB_FILES)
        for call in calls(file)
        if call.package == "tls" and call.method == "Create"
    ]
    assert len(made) == 6
    for call in made:
        assert call.response is not None
        assert issued.faults(call.type, call.request["properties"], call.response, None) == [], str(call)


def _creates(of: str) -> list[Call]:
    found = [call for file in FILES for call in calls(file) if call.method == "Create" and of in call.type]
    assert found
    return found


def test_a_serial_number_that_comes_twice_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)

    def always(*_: object) -> Json:
        return LEAF

    monkeypatch.setattr(World, "plugin", lambda *_: type("Same", (), {"call": staticmethod(always)}))
    call = _creates("LocallySignedCert")[0]
    assert not [line for line in world.replay(call) if "another certificate's" in line]
    assert [line for line in world.replay(call) if "another certificate's" in line]


def test_no_two_certificates_have_a_serial_number_in_common() -> None:
    numbers = {issued.serial(answer(certificates.self_signed_cert(CA_INPUTS))) for _ in range(20)}
    assert len(numbers) == 20
