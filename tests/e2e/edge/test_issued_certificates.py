"""A real certbot gets certificates from a real authority.

The tests issue, change and renew certificates, and cause errors.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from lab.acme import AcmeServer
from portcullis.components.certificates import render as certbot
from tests.e2e.edge.edge import NAME, Edge
from tests.e2e.host.watch import wait_for
from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host

API = "api.example.com"


@pytest.fixture(scope="module")
def standing(module_host: Host, acme: AcmeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Deploy a site, whose first `up` issues its certificate. The tests of this file change the site."""
    project = Project(tmp_path_factory.mktemp("edge") / "edge", module_host, name="edge")
    edge = Edge(project, acme)
    edge.declare(NAME).up()
    yield edge
    project.close()


@pytest.fixture
def edge(standing: Edge) -> Iterator[Edge]:
    """Return the deployed site. After the test restore the site, also if the test failed."""
    yield standing
    sys.stderr.write(standing.acme.log[-20_000:])  # pytest prints it if the test failed
    standing.acme.start()
    standing.declare(NAME).up()


def test_the_first_up_issues_one_certificate_and_serves_it(standing: Edge) -> None:
    assert standing.acme.orders == 1
    assert standing.serial()
    said = standing.host.run(
        f"openssl x509 -in /etc/letsencrypt/live/{standing.lineage}/cert.pem -noout -text"
    )
    assert "ASN1 OID: prime256v1" in said.stdout


def test_a_second_up_changes_nothing_and_orders_nothing(standing: Edge) -> None:
    orders, serial = standing.acme.orders, standing.serial()
    standing.project.unchanged()
    standing.project.up().has("unchanged").lacks("updated")
    assert (standing.acme.orders, standing.serial()) == (orders, serial)


def test_a_name_more_is_one_line_and_is_issued_in_place(edge: Edge) -> None:
    edge.declare(NAME, API).preview().has(f'+ {API}: "covered"', "Certificate: (update)").lacks("(replace)")
    edge.project.up()
    assert edge.serial(API) == edge.serial(NAME)
    assert edge.lineages() == [f"{edge.lineage}.conf"]
    edge.project.unchanged()


def test_the_timers_unit_renews_and_that_is_no_difference(edge: Edge) -> None:
    before, orders = edge.serial(), edge.acme.orders
    edge.run_timers_unit()
    assert edge.acme.orders == orders, "not due, and renewed all the same"
    edge.make_due()
    edge.run_timers_unit()
    assert edge.acme.orders == orders + 1
    edge.serves_anew(before)
    edge.not_due()
    edge.project.unchanged()


def test_a_hook_of_somebody_else_that_fails_is_no_concern(edge: Edge) -> None:
    hook = "/etc/letsencrypt/renewal-hooks/deploy/50-somebody"
    edge.host.run(f"printf '#!/bin/sh\\nexit 7\\n' > {hook}; chmod +x {hook}")
    before = edge.serial()
    edge.make_due()
    edge.run_timers_unit()
    edge.host.run(f"rm {hook}")
    edge.serves_anew(before)
    edge.not_due()
    edge.project.unchanged()


def test_an_authority_that_is_down_is_one_clear_error_and_the_next_up_heals(edge: Edge) -> None:
    before = edge.serial()
    roots = edge.acme.roots()
    edge.acme.stop()
    failed = edge.declare(NAME, API).up(fails=True)
    failed.has('Certificate "certificate" (', "the authority does not answer", "Connection refused")
    assert failed.error.count("the authority does not answer") == 1
    assert edge.host.run(f"echo | openssl s_client -connect 127.0.0.1:443 -servername {NAME}").returncode == 0
    edge.acme.start()
    # It was made anew: its root is another one, and it has forgotten the account that this host had.
    assert edge.acme.roots() != roots
    edge.project.up()
    assert edge.serial(API) != before
    edge.project.unchanged()


def test_an_authority_that_refuses_nonces_is_asked_three_more_times_and_the_next_up_heals(edge: Edge) -> None:
    edge.acme.stop()
    edge.acme.start(refuse_nonces=True)
    asked = edge.acme.log.count("POST /sign-me-up")
    try:
        edge.declare(NAME, API).up(fails=True).has("anti-replay nonce")
        # The authority has forgotten the account, so certbot registers again. Each certbot asks twice.
        assert edge.acme.log.count("POST /sign-me-up") - asked == 4 * 2
    finally:
        edge.acme.stop()
        edge.acme.start()
    edge.project.up()
    assert edge.serial(API)
    edge.project.unchanged()


def test_names_that_lead_elsewhere_are_told_all_at_once_before_the_authority_is_asked(edge: Edge) -> None:
    host, orders, before = edge.host, edge.acme.orders, edge.serial()
    host.run("apt-get install -y -qq --no-install-recommends dnsmasq-base >/dev/null")
    labels = ("elsewhere", "nowhere", "half", "other")
    elsewhere, nowhere, half, other = (f"{label}.example.com" for label in labels)
    resolver = host.read("/etc/resolv.conf")
    upstream = resolver.split()[1]
    addresses = {
        elsewhere: ["198.51.100.66"], nowhere: [""], half: [host.address, "2001:db8:100::66"],
        other: [host.address],
    }  # fmt: skip
    rules = [f"--address=/{name}/{address}" for name, all_ in addresses.items() for address in all_]
    host.run(
        ["systemd-run", "--quiet", "--unit=e2e-dns", "dnsmasq", "--keep-in-foreground", "--no-hosts",
         "--no-resolv", f"--server={upstream}", "--listen-address=127.0.0.1", "--bind-interfaces", *rules]
    )  # fmt: skip
    host.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    site = "/etc/nginx/conf.d/other.conf"
    host.write(site, f'server {{ listen 80; server_name {other}; return 200 "hello"; }}\n')
    host.run("systemctl reload nginx")
    try:
        wait_for("dnsmasq", lambda: host.run(f"getent hosts {elsewhere}", check=False).returncode == 0)
        failed = edge.declare(NAME, elsewhere, nowhere, half, other).up(fails=True)
    finally:
        host.write("/etc/resolv.conf", resolver)
        host.run(f"systemctl stop e2e-dns; rm {site}; systemctl reload nginx")
    failed.has(
        "no certificate was requested: requests for 4 names do not reach this host",
        f"{elsewhere}: 198.51.100.66: nothing answers on port 80",
        f"{nowhere}: DNS has no address for this name",
        f"{half}: 2001:db8:100::66: nothing answers on port 80",
        f"{other}: {host.address}: port 80 answers without our token",
    ).lacks(f"{half}: {host.address}", f"    {NAME}: ")
    assert (edge.acme.orders, edge.serial()) == (orders, before)
    assert host.run("ls -A /var/www/acme").stdout == ""


def test_what_the_authority_alone_finds_wrong_is_told_in_its_words(edge: Edge) -> None:
    before = edge.serial()
    edge.acme.point(API, v4=("198.51.100.66",), v6=("2001:db8:100::66",))
    failed = edge.declare(NAME, API).up(fails=True)
    edge.acme.point_back(API)
    failed.has(
        f"the authority refuses {API}", f"{API}: ", "onnection refused", "open port 80 to everybody"
    ).lacks("Ask for help", "debug log")
    assert edge.serial() == before
    edge.project.up()
    assert edge.serial(API)


def test_what_was_not_renewed_in_time_shows_with_the_reason_and_up_renews_it(edge: Edge) -> None:
    host = edge.host
    grow_old(edge)
    host.run("systemctl stop nginx")
    host.run("systemctl start certbot.service", check=False)
    host.run("systemctl start nginx")
    shown = edge.project.preview().has("Certificate: (update)", '=> "fresh"')
    said = next(line for line in shown.output.splitlines() if "expiry" in line)
    assert '"ends in 9 days (issued for 90 days): www.example.com: ' in said
    assert "onnection refused" in said
    edge.project.up()
    assert edge.serial()
    edge.project.unchanged()


def test_an_older_certificate_that_is_still_served_is_a_difference_and_up_reloads(edge: Edge) -> None:
    before = edge.serial()
    edge.make_due()
    edge.host.run(
        "REQUESTS_CA_BUNDLE=/etc/letsencrypt/portcullis-ca.pem certbot renew -q --no-directory-hooks "
        "--no-random-sleep-on-renew",
    )
    edge.not_due()
    orders = edge.acme.orders
    assert edge.serial() == before
    edge.project.preview().has("an older certificate of this name, until 20")
    edge.project.up()
    assert edge.serial() != before
    assert edge.acme.orders == orders


def test_another_authority_makes_the_new_lineage_first_and_the_old_one_goes_last(edge: Edge) -> None:
    second = AcmeServer(edge.host.record, 1)
    second.start()
    old = edge.lineage
    done = edge.declare(NAME, server=second.directory).up()
    assert edge.serial(acme=second)
    assert edge.lineages() == [f"{certbot.lineage(NAME, second.directory)}.conf"]
    assert old != certbot.lineage(NAME, second.directory)
    done.has("replaced")
    edge.project.unchanged()
    edge.declare(NAME).up()
    assert edge.serial()
    assert edge.lineages() == [f"{old}.conf"]


def test_a_certbot_that_was_killed_leaves_nothing_that_the_next_up_cannot_mend(edge: Edge) -> None:
    conf = f"/etc/letsencrypt/renewal/{edge.lineage}.conf"
    edge.host.run(f"rm {conf}")
    edge.project.preview().has("incomplete")
    edge.project.up()
    assert edge.serial()
    assert edge.lineages() == [f"{edge.lineage}.conf"]


def test_destroy_takes_the_lineage_along(standing: Edge) -> None:
    standing.project.destroy()
    assert (
        standing.host.run("ls -A /etc/letsencrypt/live 2>/dev/null || true")
        .stdout.replace("README", "")
        .split()
        == []
    )


def grow_old(edge: Edge, begins: str = "-80days", ends: str = "+10days") -> None:
    """Replace the lineage's certificate by an older one with the same name.

    By default the older certificate ends in ten days.
    """
    live = f"/etc/letsencrypt/live/{edge.lineage}"
    edge.host.run(
        f"cd {live} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
        f"-keyout key.new -out cert.new -subj /CN=old -addext subjectAltName=DNS:{NAME} "
        f"-not_before $(date -u -d {begins} +%Y%m%d%H%M%SZ) -not_after $(date -u -d {ends} +%Y%m%d%H%M%SZ) "
        "&& cat cert.new > cert.pem && cat cert.new > fullchain.pem && cat key.new > privkey.pem && rm *.new"
    )
