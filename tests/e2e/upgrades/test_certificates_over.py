"""Tests certificates of the stack's own authority that are due for renewal, or that have already ended.

tests/e2e/edge/test_issued_certificates.py has the tests for a public authority.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from lab import stack
from tests.e2e.data.test_shop import ask, names, wait_until_well
from tests.e2e.host.watch import wait_for
from tests.e2e.inventory import report
from tests.e2e.stack.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host

INSIDE = "inside.example.com"
SITE = f"web1-nginx-{INSIDE}"
SERVERS = {"redis": 30, "mongo": 30, SITE: 120}
"""Whose certificates they are, by the names of resources, and how many days before the end they are due."""
SHORT = timedelta(minutes=5)

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, module_host: Host) -> Iterator[Program]:
    """The shop with stores that speak TLS, and a site with a certificate of the stack's own."""
    made = Program(tmp_path_factory.mktemp("over") / "program", module_host, stack.TEMPLATE.read_text())
    made.set("stores.redis", tls=True)
    made.set("stores.mongo", tls=True)
    made.site(INSIDE, app="api", tls="internal")
    made.up(timeout=800)
    report.walk(made)
    report.quiet(made, "the first up")
    assert ask(made, "/api/items", {"name": "kept"})[0] == 201
    yield made
    made.close()


def test_a_preview_says_days_before_what_is_due_and_up_renews_it(shop: Program) -> None:
    before = served(shop)
    change(shop, lambda server, outputs: outputs.update(validityEndTime=spelt(days=SERVERS[server] + 1)))
    report.quiet(shop, "the day before")
    change(shop, lambda server, outputs: outputs.update(validityEndTime=spelt(days=SERVERS[server] - 1)))
    assert sorted(due(shop)) == sorted(
        f"certificate {server}-certificate: ends in {days - 2} days" for server, days in SERVERS.items()
    )
    shop.up()
    wait_until_well(shop)
    assert served(shop) != before
    assert "kept" in names(shop)
    report.quiet(shop, "renewal")


def test_when_they_are_over_a_preview_says_so_and_up_mends_it(shop: Program) -> None:
    """In the state they look fine meanwhile: this `up` is the last one before nobody ran any for long."""
    ends = run_out_soon(shop)
    shop.up()
    wait_until_well(shop)
    assert served(shop).not_valid_after_utc == ends
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 5)
    change(shop, lambda _, outputs: outputs.update(validityEndTime=f"{ends:%Y-%m-%dT%H:%M:%SZ}"))

    (api,) = [name for name in shop.docker("ps", "--format", "{{.Names}}").split() if name.startswith("api-")]
    shop.docker("restart", "-t", "5", api)
    wait_for("the app to miss its stores", lambda: ask(shop, "/api/items")[0] >= 500)
    assert sorted(due(shop)) == sorted(f"certificate {server}-certificate: has ended" for server in SERVERS)

    shop.up()
    wait_until_well(shop)
    assert served(shop).not_valid_after_utc > ends + timedelta(days=80)
    assert "kept" in names(shop)
    report.quiet(shop, "the renewal of what was over")


def served(shop: Program) -> x509.Certificate:
    """Return the certificate that the site `inside.example.com` serves."""
    said = shop.host.run(f"openssl s_client -connect 127.0.0.1:443 -servername {INSIDE} </dev/null").stdout
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----\n"
    return x509.load_pem_x509_certificate((begin + said.partition(begin)[2].partition(end)[0] + end).encode())


def due(shop: Program) -> list[str]:
    """Return the lines of a preview about certificates, without the date."""
    told = [line.text for line in report.lines(shop)]
    sys.stdout.write("".join(f"{text}\n" for text in told))
    return [text.partition(", on ")[0] for text in told if text.startswith("certificate ")]


def spelt(days: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


def change(shop: Program, how: Any) -> None:
    """Change the certificates of the servers in the state, as if time had passed."""
    state = json.loads(shop.run("stack", "export").output)
    for server in SERVERS:
        how(server, outputs_of(state, f"{server}-certificate"))
    file = shop.folder / "aged.json"
    file.write_text(json.dumps(state))
    shop.run("stack", "import", "--file", str(file))


def outputs_of(state: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (
        one
        for one in state["deployment"]["resources"]
        if one["type"].startswith("tls:") and one["urn"].endswith(f"::{name}")
    )
    outputs: dict[str, Any] = found["outputs"]
    return outputs


def run_out_soon(shop: Program) -> datetime:
    """Put certificates that end in minutes into the state, with the same names and keys.

    Return the time of their end.
    """
    clear = json.loads(shop.run("stack", "export", "--show-secrets").output)
    keys = {}
    for server in SERVERS:
        name = "web1-nginx-ca-key" if server == SITE else "web1-stores-ca-key"
        pem = json.loads(outputs_of(clear, name)["privateKeyPem"]["plaintext"])
        keys[server] = load_pem_private_key(pem.encode(), None)
    ends = (datetime.now(UTC) + SHORT).replace(microsecond=0)

    def shorten(server: str, outputs: dict[str, Any]) -> None:
        old = x509.load_pem_x509_certificate(outputs["certPem"].encode())
        made = x509.CertificateBuilder(
            old.issuer, old.subject, old.public_key(), x509.random_serial_number(),
            ends - timedelta(days=90), ends, list(old.extensions),
        )  # fmt: skip
        signed = made.sign(keys[server], hashes.SHA256())
        outputs["certPem"] = signed.public_bytes(Encoding.PEM).decode()
        outputs["validityEndTime"] = spelt(days=200)

    change(shop, shorten)
    return ends
