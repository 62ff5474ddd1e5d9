"""A proxy in front of nginx gets HTTPS and passes on HTTP.

Apps must still learn that the visitor used HTTPS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components.nginx.args import ReverseProxyArgs
from tests.proxy import catalogue, hosts, roots
from tests.proxy.edge import Edge, serving
from tests.proxy.nginx_process import CDN
from tests.proxy.traps import APP

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = "plain.example.com"
HTTPS = {"X-Forwarded-Proto": "https"}


@pytest.fixture(scope="module", params=["debian-12", "debian-13"])
def edge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    root = roots.root(request.param)
    sites = [site for site in hosts.SITES if site.name in (APP, PLAIN)]
    texts = catalogue.files(root, sites, shared=ReverseProxyArgs(trusted_proxies=("192.0.2.0/24",)))
    with serving(root, tmp_path_factory.mktemp("nginx"), texts) as edge:
        yield edge


def said(edge: Edge, host: str, **more: object) -> tuple[list[str], list[str]]:
    """Return the scheme and the port that the app received."""
    found = edge.ask(host, "/", **more)  # type: ignore[arg-type]
    return found.reached("X-Forwarded-Proto"), found.reached("X-Forwarded-Port")


def test_a_trusted_proxy_may_say_https(edge: Edge) -> None:
    assert said(edge, PLAIN, headers=HTTPS, tls=False, source=CDN) == (["https"], ["443"])


def test_a_visitor_may_not_say_https(edge: Edge) -> None:
    assert said(edge, PLAIN, headers=HTTPS, tls=False) == (["http"], ["80"])
    claimed = {**HTTPS, "X-Forwarded-For": "192.0.2.9"}
    assert said(edge, PLAIN, headers=claimed, tls=False) == (["http"], ["80"])


def test_a_trusted_proxy_cannot_turn_https_into_http(edge: Edge) -> None:
    told = {"X-Forwarded-Proto": "http"}
    assert said(edge, APP, headers=told, source=CDN) == (["https"], ["443"])
    assert said(edge, PLAIN, headers=told, tls=False, source=CDN) == (["http"], ["80"])
