"""The real program of MDN's HTTP Observatory grades our sites with their defaults, on ports 80 and 443."""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from lab import shop
from portcullis.components.nginx import render as nginx
from tests.golden.nginx_sites import API, a_site, lets_encrypt
from tests.observatory.scan import Report, scan
from tests.proxy import catalogue, namespace, nginx_process, resolved, roots
from tests.proxy.certificates import issue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAME = "www.example.com"
PAGE = b"<!doctype html><title>App</title><script src=/app.js></script>"
# A configuration as in countless guides: HTTPS beside HTTP, a proxy_pass, and no header.
NAIVE = """
server {
    listen 80;
    listen 443 ssl;
    server_name www.example.com;
    ssl_certificate /etc/letsencrypt/live/www.example.com/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/www.example.com/privkey.pem;
    location / { proxy_pass http://172.17.0.1:2019; }
}
"""


@pytest.fixture(scope="module")
def root() -> roots.Root:
    return roots.root("debian-13")


@contextmanager
def app(pid: int, headers: Mapping[str, str]) -> Iterator[None]:
    """Run an app in the network of a process. The app answers every path with a page and these headers."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in {
                "Content-Type": "text/html",
                "Content-Length": str(len(PAGE)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(PAGE)

        do_OPTIONS = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((API.address, API.port), Page, bind_and_activate=False)
    server.socket.close()
    server.socket = namespace.listening(pid, (API.address, API.port))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def graded(
    root: roots.Root, folder: Path, site: nginx.Site, headers: Mapping[str, str] | None = None, text: str = ""
) -> Report:
    """Return the grade of a site. `text` replaces the rendered configuration of the site."""
    certificate = issue([NAME])
    texts = catalogue.files(root, [site], certificate)
    if text:
        texts[nginx.site_path(NAME)] = text
    files = nginx_process.prepare(root, folder, texts)
    if site.root:
        shutil.copytree(shop.site(), files.path(site.root))
    with nginx_process.running(files) as pid, app(pid, headers or {}):
        return scan(NAME, nginx_process.VISITOR, certificate.authority, resolved.network_of(pid))


def of_files() -> nginx.Site:
    return a_site(NAME, root=f"/var/www/{NAME}", spa=True, certificate=lets_encrypt(NAME))


def of_an_app() -> nginx.Site:
    return a_site(NAME, {"/": API}, certificate=lets_encrypt(NAME))


def test_the_built_shop_gets_an_a_plus_with_our_defaults(root: roots.Root, tmp_path: Path) -> None:
    report = graded(root, tmp_path, of_files())
    assert (report.grade, report.score) == ("A+", 130)
    assert {name: found.result for name, found in report.findings.items()} == {
        "content-security-policy": "csp-implemented-with-no-unsafe-default-src-none",
        "cookies": "cookies-not-found",
        "cross-origin-resource-policy": "corp-implemented-with-same-origin",
        "cross-origin-resource-sharing": "cross-origin-resource-sharing-not-implemented",
        "redirection": "redirection-to-https",
        "referrer-policy": "referrer-policy-private",
        "strict-transport-security": "hsts-implemented-max-age-at-least-six-months",
        "subresource-integrity": "sri-not-implemented-but-all-scripts-loaded-from-secure-origin",
        "x-content-type-options": "x-content-type-options-nosniff",
        "x-frame-options": "x-frame-options-implemented-via-csp",
    }
    assert all(found.passed for found in report.findings.values())


def test_an_app_without_a_policy_lacks_only_the_policy(root: roots.Root, tmp_path: Path) -> None:
    report = graded(root, tmp_path, of_an_app())
    assert (report.grade, report.score) == ("B", 75)
    assert report.against() == {"csp-not-implemented": -25}


def test_an_app_with_its_own_policy_gets_an_a_plus(root: roots.Root, tmp_path: Path) -> None:
    policy = {"Content-Security-Policy": "default-src 'self'; frame-ancestors 'self'; base-uri 'none'"}
    report = graded(root, tmp_path, of_an_app(), policy)
    assert report.grade == "A+"
    assert report.against() == {}


def test_the_usual_proxy_pass_gets_an_f(root: roots.Root, tmp_path: Path) -> None:
    report = graded(root, tmp_path, of_an_app(), text=NAIVE)
    assert (report.grade, report.score) == ("F", 10)
    assert set(report.against()) == {
        "csp-not-implemented",
        "hsts-not-implemented",
        "redirection-missing",
        "x-content-type-options-not-implemented",
        "x-frame-options-not-implemented",
    }
