"""Clients accept the certificates of the stack's own authority, and an ordinary `up` renews them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import verification

if TYPE_CHECKING:
    from tests.e2e.project import Project

PROGRAM = """
from portcullis.components import InternalCa, InternalCaArgs

ca = InternalCa("web1-ca", InternalCaArgs())
certificate, key = ca.server("web1-redis", ["redis"], ["172.17.0.1"])
pulumi.export("ca", ca.ca_pem)
pulumi.export("certificate", certificate)
pulumi.export("key", key)
"""
Outputs = dict[str, str]


def test_a_certificate_that_is_due_is_renewed_by_an_ordinary_up(project: Project) -> None:
    project.program(PROGRAM)
    project.up()
    first = outputs(project)
    for name in ("redis", "172.17.0.1"):
        assert is_valid(first["certificate"], first["ca"], name)
    assert not is_valid(first["certificate"], first["ca"], "mongo")
    key = load_pem_private_key(first["key"].encode(), None)
    assert key.public_key() == certificate(first).public_key()
    assert (
        timedelta(days=89) < certificate(first).not_valid_after_utc - datetime.now(UTC) < timedelta(days=91)
    )

    grow_old(project, "web1-redis-certificate", left=timedelta(days=31))
    project.unchanged()
    grow_old(project, "web1-redis-certificate", left=timedelta(days=29))
    project.up("--diff").has("+-tls:index/locallySignedCert:LocallySignedCert: (replace)")
    second = outputs(project)
    assert certificate(second).serial_number != certificate(first).serial_number
    assert (second["key"], second["ca"]) == (first["key"], first["ca"])
    assert is_valid(second["certificate"], second["ca"], "redis")

    grow_old(project, "web1-ca-certificate", left=timedelta(days=179))
    project.up()
    third = outputs(project)
    assert third["ca"] != second["ca"]
    # Either a client or a server can get its new certificate first. All four combinations have to work.
    for authority in (second["ca"], third["ca"]):
        for server in (second["certificate"], third["certificate"]):
            assert is_valid(server, authority, "redis")


def outputs(project: Project) -> Outputs:
    found: Outputs = json.loads(project.run("stack", "output", "--json", "--show-secrets").output)
    return found


def certificate(found: Outputs) -> x509.Certificate:
    return x509.load_pem_x509_certificate(found["certificate"].encode())


def is_valid(server: str, authority: str, name: str) -> bool:
    """Return whether a client that trusts the authority accepts the server certificate for a name."""
    store = verification.Store(x509.load_pem_x509_certificates(authority.encode()))
    subject: x509.DNSName | x509.IPAddress = x509.DNSName(name)
    if name[0].isdigit():
        subject = x509.IPAddress(ip_address(name))
    try:
        verification.PolicyBuilder().store(store).build_server_verifier(subject).verify(
            x509.load_pem_x509_certificate(server.encode()), []
        )
    except verification.VerificationError:
        return False
    return True


def grow_old(project: Project, name: str, left: timedelta) -> None:
    """Change the state, so that a certificate seems to end after the time `left`."""
    state: dict[str, Any] = json.loads(project.run("stack", "export").output)
    found = [r for r in state["deployment"]["resources"] if r["urn"].endswith(f"::{name}")]
    assert len(found) == 1
    ends = (datetime.now(UTC) + left).isoformat().replace("+00:00", "Z")
    found[0]["outputs"]["validityEndTime"] = ends
    aged = project.folder / "aged.json"
    aged.write_text(json.dumps(state))
    project.run("stack", "import", "--file", str(aged))
