"""The stack's own certificate authority, for connections inside the stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pytest

from portcullis.components import InternalCa, InternalCaArgs
from tests.previews import unknown_in

if TYPE_CHECKING:
    from tests.recording_engine import Deploy


def redis() -> tuple[InternalCa, pulumi.Output[str], pulumi.Output[str]]:
    ca = InternalCa("web1-ca", InternalCaArgs())
    certificate, key = ca.server("web1-redis", ["redis"], ["172.17.0.1"])
    return ca, certificate, key


def test_an_authority_signs_servers_and_no_further_authority(deploy: Deploy) -> None:
    engine = deploy(redis)
    authority = engine.one(":SelfSignedCert").inputs
    assert authority["isCaCertificate"] is True
    assert authority["maxPathLength"] == 0
    assert authority["allowedUses"] == ["cert_signing", "crl_signing"]
    assert authority["validityPeriodHours"] == 10 * 365 * 24
    server = engine.one(":LocallySignedCert")
    assert "isCaCertificate" not in server.inputs
    assert server.inputs["allowedUses"] == ["digital_signature", "server_auth"]
    assert (server.inputs["validityPeriodHours"], server.inputs["earlyRenewalHours"]) == (90 * 24, 30 * 24)
    for key in engine.of(":PrivateKey"):
        assert (key.inputs["algorithm"], key.inputs["ecdsaCurve"]) == ("ECDSA", "P256")


def test_a_certificate_names_the_server_as_clients_call_it(deploy: Deploy) -> None:
    request = deploy(redis).one(":CertRequest").inputs
    assert (request["dnsNames"], request["ipAddresses"]) == (["redis"], ["172.17.0.1"])
    assert request["subject"] == {"commonName": "redis"}


def test_the_authority_is_renewed_two_lifetimes_of_a_server_before_its_end(deploy: Deploy) -> None:
    assert deploy(redis).one(":SelfSignedCert").inputs["earlyRenewalHours"] == 180 * 24


def test_a_key_is_a_secret_and_certificates_are_not(deploy: Deploy) -> None:
    seen: dict[str, bool] = {}

    def program() -> None:
        ca, certificate, key = redis()

        async def look() -> None:
            for name, output in (("ca", ca.ca_pem), ("certificate", certificate), ("key", key)):
                seen[name] = await output.is_secret()

        pulumi.Output.from_input(look())

    deploy(program)
    assert seen == {"ca": False, "certificate": False, "key": True}


def test_lifetimes_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="renew_hours: is not shorter than server_hours"):
        InternalCaArgs(renew_hours=90 * 24)
    with pytest.raises(ValueError, match="server_hours: is more than half of ca_hours"):
        InternalCaArgs(ca_hours=100 * 24)
    with pytest.raises(ValueError, match=r"InternalCaArgs\.server_hours: 0 is not a number of hours"):
        InternalCaArgs(server_hours=0)


def test_a_server_without_a_name_or_an_address_is_refused(deploy: Deploy) -> None:
    with pytest.raises(ValueError, match="needs a DNS name or an IP address"):
        deploy(lambda: InternalCa("ca", InternalCaArgs()).server("redis", []))


def test_a_preview_knows_everything_except_keys_and_what_they_sign() -> None:
    assert unknown_in(redis) == {
        "web1-ca-certificate.privateKeyPem",
        "web1-redis-certificate.caCertPem",
        "web1-redis-certificate.caPrivateKeyPem",
        "web1-redis-certificate.certRequestPem",
        "web1-redis-request.privateKeyPem",
    }
