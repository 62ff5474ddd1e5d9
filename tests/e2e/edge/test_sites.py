"""Tests sites on a real host: their certificates, the served pages, drift and errors.

The settings are those of one small app. The certificate authority is pebble, and the requests come from the
lab's internet.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from lab import machine
from tests.e2e.stack.program import PAGE, SITE, SITE_FILE, Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.acme import AcmeServer
    from lab.pytest_lab import Host

WWW, INTERNAL, GO = "www.example.com", "internal.example.com", "go.example.com"


class Edge(Program):
    """The deployed program, with the certificate authority of its host."""

    acme: AcmeServer
    roots: Path

    def ask(self, url: str, *argv: str, roots: Path | None = None) -> tuple[int, str, str]:
        """Request a URL, as a visitor on the lab's internet.

        Return status, headers and body, or 0 and curl's error.
        """
        self.roots.write_text(self.acme.roots())
        where = ["--connect-to", f"::{self.host.address}:", "--cacert", str(roots or self.roots)]
        code, said = machine.fetch("internet", ["--include", *where, *argv, url])
        if code or not said.startswith("HTTP/"):
            return 0, "", said
        head, _, body = said.replace("\r\n", "\n").partition("\n\n")
        return int(head.split()[1]), head.lower(), body

    def pid(self) -> str:
        return self.host.run("systemctl show -P MainPID nginx").stdout.strip()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, module_host: Host, acme: AcmeServer) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("edge")
    made = Edge(folder / "program", module_host)
    made.acme, made.roots = acme, folder / "roots.pem"
    made.set("acme", email="ops@example.com", server=acme.directory, caBundle=str(acme.bundle))
    made.site(SITE, tls=None)
    made.up()
    yield made
    made.close()


def test_up_gives_a_site_its_certificate_and_then_nothing_changes(edge: Edge) -> None:
    status, head, body = edge.ask(f"https://{SITE}/")
    assert (status, PAGE in body) == (200, True)
    assert "strict-transport-security: max-age=63072000" in head
    status, head, _ = edge.ask(f"http://{SITE}/a?b=c")
    assert (status, f"location: https://{SITE}/a?b=c" in head) == (308, True)
    edge.preview("--expect-no-changes")


def test_an_unknown_host_gets_neither_page_nor_certificate(edge: Edge) -> None:
    assert "Empty reply" in edge.ask("http://nobody.example.com/")[2]
    assert re.search("unrecognized name|handshake", edge.ask("https://nobody.example.com/")[2])


def test_a_second_site_does_not_touch_the_first(edge: Edge, tmp_path: Path) -> None:
    site = edge.folder / "site"
    (site / "assets").mkdir(parents=True)
    (site / "index.html").write_text("<!doctype html><title>files</title>")
    (site / "assets" / "a-1234.js").write_text("1")
    before = edge.host.run(f"stat -c '%i %Y' {SITE_FILE}").stdout, edge.pid()
    edge.set("sites", **{WWW: {"root": "site", "spa": True, "redirectFrom": ["example.com"]}})
    edge.set(
        "sites", **{GO: {"redirect": f"https://{WWW}/there"}, INTERNAL: {"app": "hello", "tls": "internal"}}
    )
    edge.preview().lacks("to replace")
    edge.up()
    assert (edge.host.run(f"stat -c '%i %Y' {SITE_FILE}").stdout, edge.pid()) == before

    status, head, body = edge.ask(f"https://{WWW}/any/path")
    assert (status, "<title>files" in body) == (200, True)
    assert "content-security-policy: default-src 'none'" in head
    assert "immutable" in edge.ask(f"https://{WWW}/assets/a-1234.js")[1]
    status, head, _ = edge.ask("https://example.com/x")
    assert (status, f"location: https://{WWW}/x" in head) == (308, True)
    status, head, _ = edge.ask(f"https://{GO}/")
    assert (status, f"location: https://{WWW}/there" in head) == (308, True)

    said = json.loads(edge.run("stack", "output", "--json").output)
    ca = tmp_path / "ca.pem"
    ca.write_text(said["sitesCa-web1"])
    assert PAGE in edge.ask(f"https://{INTERNAL}/", roots=ca)[2]
    assert "certificate" in edge.ask(f"https://{INTERNAL}/")[2], (
        "a client that does not know the stack's authority must refuse the site"
    )
    edge.preview("--expect-no-changes")


def test_a_broken_snippet_changes_nothing_and_says_where(edge: Edge) -> None:
    before = edge.host.read(SITE_FILE)
    edge.site(SITE, snippet="no_such_directive on;")
    said = edge.up(fails=True).error
    assert "web1" in said
    assert f"web1-nginx-{SITE}" in said
    assert re.search(rf'unknown directive "no_such_directive" in {SITE_FILE}:\d+', said)
    assert edge.host.read(SITE_FILE) == before
    for site in (SITE, WWW):
        assert edge.ask(f"https://{site}/")[0] == 200
    edge.site(SITE, snippet=None)
    edge.up()
    edge.preview("--expect-no-changes")


def test_an_edit_by_hand_shows_and_is_taken_back(edge: Edge) -> None:
    edge.host.run(f"sed -i 's/server_tokens off/server_tokens on/' {SITE_FILE}; nginx -s reload")
    edge.preview().has(f"web1-nginx-{SITE}", "- server_tokens on;", "+ server_tokens off;")
    edge.up()
    edge.preview("--expect-no-changes")


def test_a_file_of_somebody_else_that_takes_a_name_is_drift(edge: Edge) -> None:
    """nginx itself only warns of two servers with one name, and serves the first."""
    foreign = "/etc/nginx/conf.d/00-a-foreign.conf"
    pem = f"/etc/nginx/portcullis/{INTERNAL}.pem"
    pair = f"ssl_certificate {pem}; ssl_certificate_key {pem};"
    edge.host.write(foreign, f"server {{ listen 443 ssl; server_name {SITE}; {pair} }}\n")
    edge.host.run("nginx -s reload && sleep 1")
    try:
        edge.preview().has(f'{SITE}: "', '=> "served"')
        said = edge.up(fails=True).error
        assert SITE in said
    finally:
        edge.host.run(f"rm {foreign}; nginx -s reload; sleep 1")
    edge.up()
    edge.preview("--expect-no-changes")


def test_nginx_that_was_killed_is_drift_and_comes_back(edge: Edge) -> None:
    ended = "while systemctl -q is-active nginx; do sleep 0.1; done"
    edge.host.run(f"systemctl kill --signal=KILL nginx; {ended}; systemctl reset-failed nginx; true")
    said = edge.preview()
    said.has("web1-nginx-service", '=> "active"')
    edge.up()
    assert edge.ask(f"https://{SITE}/")[0] == 200
    edge.preview("--expect-no-changes")


def test_a_full_disk_changes_nothing_and_heals(edge: Edge) -> None:
    host = edge.host
    host.run(
        "cp -a /etc/nginx/conf.d /tmp/conf.d && mount -t tmpfs -o size=256k tmpfs /etc/nginx/conf.d"
        " && cp -a /tmp/conf.d/. /etc/nginx/conf.d/ && dd if=/dev/zero of=/etc/nginx/conf.d/full bs=4k; true"
    )
    before = host.read(SITE_FILE)
    edge.site(SITE, timeout=61)
    try:
        said = edge.up(fails=True).error
        assert "no space left" in said
        assert host.read(SITE_FILE) == before
        assert edge.ask(f"https://{SITE}/")[0] == 200
    finally:
        host.run("umount /etc/nginx/conf.d && rm -rf /tmp/conf.d")
    edge.up()
    assert "proxy_read_timeout 61s;" in host.read(SITE_FILE)
    edge.preview("--expect-no-changes")


def test_a_site_that_goes_takes_its_certificate_along_and_nothing_else(edge: Edge) -> None:
    before = edge.pid()
    edge.set("sites", **dict.fromkeys((WWW, GO, INTERNAL)))
    edge.up()
    assert "Empty reply" in edge.ask(f"http://{WWW}/")[2]
    left = edge.host.run("ls /etc/letsencrypt/live /etc/nginx/portcullis /etc/nginx/conf.d").stdout
    for site in (WWW, GO, INTERNAL):
        assert site not in left
    assert (edge.ask(f"https://{SITE}/")[0], edge.pid()) == (200, before)
    edge.preview("--expect-no-changes")


def test_destroy_takes_the_certificates_along(edge: Edge) -> None:
    edge.destroy()
    host = edge.host
    assert host.run("ls /etc/letsencrypt/live | grep -v README", check=False).stdout == ""
    # The folders themselves may go with certbot.
    folders = "/etc/letsencrypt/renewal /etc/letsencrypt/renewal-hooks/deploy"
    assert "." not in host.run(f"ls -A {folders}", check=False).stdout
    assert host.run("test -e /etc/nginx || ss -Hltn 'sport = 80'", check=False).stdout == ""
    assert host.run("systemctl is-enabled certbot.timer", check=False).stdout.strip() != "enabled"
