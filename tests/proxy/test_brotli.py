"""Brotli on releases where Debian has nginx's modules for it. Clients that do not support Brotli get gzip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.proxy import catalogue, hosts, roots
from tests.proxy.edge import Edge, serving
from tests.proxy.traps import WWW, secured

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=["debian-12", "debian-13"])
def edge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    root = roots.root(request.param)
    made = {"/var/www/www.example.com/assets/index-4f2a.js.br": b"made at build time"}
    texts = {**catalogue.files(root, hosts.SITES, brotli=True), **hosts.FILES, **made}
    with serving(root, tmp_path_factory.mktemp("nginx"), texts) as edge:
        yield edge


def test_brotli_is_preferred(edge: Edge) -> None:
    found = edge.ask(WWW, "/logo.svg", {"Accept-Encoding": "gzip, deflate, br"})
    assert found["Content-Encoding"] == "br"
    assert "Accept-Encoding" in found.all("Vary")
    secured(found)


def test_a_file_compressed_at_build_time_is_sent(edge: Edge) -> None:
    found = edge.ask(WWW, "/assets/index-4f2a.js", {"Accept-Encoding": "br"})
    assert (found["Content-Encoding"], found.body) == ("br", b"made at build time")


def test_a_client_without_brotli_gets_gzip(edge: Edge) -> None:
    assert edge.ask(WWW, "/logo.svg", {"Accept-Encoding": "gzip"})["Content-Encoding"] == "gzip"
    assert edge.ask(WWW, "/logo.svg")["Content-Encoding"] == ""
