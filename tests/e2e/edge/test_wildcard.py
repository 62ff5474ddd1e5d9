"""The tests issue a wildcard certificate.

certbot's DNS plugin writes a record into a zone of bind9 on the same host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.acme import AcmeServer
from portcullis.components.certificates import render as certbot
from tests.e2e.host.watch import wait_for
from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host

# The key for updates of the zone. Only this test has the zone.
SECRET = "bm90IGEgc2VjcmV0IG9mIGFueWJvZHkgaW4gdGhlIHdvcmxkLCBqdXN0IGEgdGVzdA=="
ZONE = """\
key "certbot" { algorithm hmac-sha512; secret "%s"; };
zone "example.com" {
    type primary;
    file "/var/lib/bind/example.com.zone";
    update-policy { grant certbot wildcard * TXT; };
};
"""
RECORDS = """\
$TTL 60
@ IN SOA ns.example.com. ops.example.com. 1 3600 600 86400 60
@ IN NS ns.example.com.
ns IN A 127.0.0.1
"""
PROGRAM = """
from portcullis.components import Certificate
from portcullis.components.certificates import render as certbot

def after(*things):
    return pulumi.ResourceOptions(depends_on=list(things))

packages = Packages("packages", host="web1", names=["certbot", certbot.PLUGINS["rfc2136"].package])
ca = File("ca", host="web1", path=certbot.CA_BUNDLE_PATH, content=open("ca.pem").read(), opts=after(packages))
folder = Directory("unit", host="web1", path=certbot.DROP_IN_PATH.rpartition("/")[0], make_parents=True)
unit = File("environment", host="web1", path=certbot.DROP_IN_PATH, opts=after(folder),
            content=certbot.drop_in("environment", certbot.environment(certbot.CA_BUNDLE_PATH, "rfc2136")))
credentials = File("credentials", host="web1", path=certbot.CREDENTIALS_PATH, mode="0600",
                   opts=after(packages), content=pulumi.Config("dns").require_secret("credentials"))
Certificate(
    "certificate", host="web1", lineage="example.com", domains=["*.example.com", "example.com"],
    server="{server}", email="ops@example.com", ca_bundle=certbot.CA_BUNDLE_PATH, dns="rfc2136",
    dns_credentials=certbot.CREDENTIALS_PATH, dns_propagation=2, opts=after(ca, credentials, unit),
)
"""


@pytest.fixture(scope="module")
def standing(
    module_host: Host, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, AcmeServer]]:
    """Give a deployed wildcard, its zone and its authority."""
    host = module_host
    host.run(
        "apt-get update -qq; apt-get install -y -qq --no-install-recommends bind9 >/dev/null", timeout=300
    )
    host.write("/var/lib/bind/example.com.zone", RECORDS)
    host.write("/etc/bind/named.conf.local", ZONE % SECRET)
    host.run("chown bind:bind /var/lib/bind/example.com.zone && systemctl restart named")
    # The authority finds the zone where the world would: at the server that has it.
    acme = AcmeServer(host.record)
    acme.start(resolver=f"{host.address}:53")
    project = Project(tmp_path_factory.mktemp("wildcard") / "wildcard", host, name="wildcard")
    (project.folder / "ca.pem").write_text(acme.bundle.read_text())
    lines = {"server": "127.0.0.1", "name": "certbot", "secret": SECRET, "algorithm": "HMAC-SHA512"}
    project.secret(
        "dns:credentials", "".join(f"dns_rfc2136_{key} = {value}\n" for key, value in lines.items())
    )
    project.program(PROGRAM.replace("{server}", acme.directory)).up()
    yield project, acme
    project.close()


def test_a_wildcard_is_issued_by_dns_and_stays_as_declared(standing: tuple[Project, AcmeServer]) -> None:
    project, acme = standing
    said = project.host.run(
        "openssl x509 -in /etc/letsencrypt/live/example.com/cert.pem -noout -ext subjectAltName"
    )
    assert "DNS:*.example.com, DNS:example.com" in said.stdout
    project.unchanged()
    assert acme.orders == 1


def test_the_timer_renews_it_with_what_it_was_told(standing: tuple[Project, AcmeServer]) -> None:
    project, acme = standing
    conf = "/etc/letsencrypt/renewal/example.com.conf"
    project.host.run(
        f"sed -i /renew_before_expiry/d {conf}; sed -i '1i renew_before_expiry = 100 days' {conf}"
    )
    project.host.run("systemctl start certbot.service")
    assert acme.orders == 2
    project.unchanged()


@pytest.mark.once
def test_the_zones_key_is_nowhere_but_in_its_file(standing: tuple[Project, AcmeServer]) -> None:
    project, _ = standing
    found = project.host.run(
        ["grep", "-rlsF", SECRET, "/etc/letsencrypt", "/var/log", "/var/lib/portcullis", "/etc/systemd"],
        check=False,
    )
    assert found.stdout.split() == [certbot.CREDENTIALS_PATH]
    assert SECRET not in "".join(
        path.read_text(errors="replace") for path in project.folder.rglob("*.json") if path.is_file()
    )


def test_a_zone_that_refuses_the_plugin_is_told_and_the_next_up_heals(
    standing: tuple[Project, AcmeServer],
) -> None:
    project, acme = standing
    text = (project.folder / "__main__.py").read_text()
    (project.folder / "__main__.py").write_text(
        text.replace('"example.com"],', '"example.com", "*.a.example.com"],')
    )
    project.host.run("systemctl stop named")
    project.up(fails=True).has("Certificate", "certificate", "domains")
    project.host.run("systemctl start named")
    wait_for("named", lambda: project.host.run("systemctl is-active named", check=False).returncode == 0)
    project.up()
    project.unchanged()
    assert acme.orders >= 3
