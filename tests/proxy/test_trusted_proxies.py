"""nginx accepts the client's address from a trusted proxy, and from nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components.nginx.args import LimitsArgs, ReverseProxyArgs
from tests.golden.nginx_sites import changed
from tests.proxy import catalogue, hosts, roots
from tests.proxy.edge import Edge, serving
from tests.proxy.nginx_process import CDN, OFFICE, VISITOR
from tests.proxy.traps import APP

if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORKS = ("192.0.2.0/24", "10.9.0.0/16")


@pytest.fixture(scope="module", params=["X-Forwarded-For", "CF-Connecting-IP"])
def header(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def edge(header: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    root = roots.root("debian-13")
    sites = [site for site in hosts.SITES if site.name in (APP, "office.example.com", "limited.example.com")]
    sites = [
        changed(site, limits=LimitsArgs(requests=1, burst=0, connections=50))
        if "limited" in site.name
        else site
        for site in sites
    ]
    texts = catalogue.files(
        root, sites, shared=ReverseProxyArgs(trusted_proxies=NETWORKS, real_ip_header=header)
    )
    with serving(root, tmp_path_factory.mktemp("nginx"), texts) as edge:
        yield edge


def test_a_trusted_proxy_is_believed(header: str, edge: Edge) -> None:
    found = edge.ask(APP, "/", {header: "203.0.113.50"}, source=CDN)
    assert found.reached("X-Forwarded-For") == ["203.0.113.50"]
    assert found.reached("X-Real-IP") == ["203.0.113.50"]


def test_nobody_else_is_believed(header: str, edge: Edge) -> None:
    found = edge.ask(APP, "/", {header: "203.0.113.50"})
    assert found.reached("X-Forwarded-For") == [VISITOR]


def test_a_claim_of_the_client_is_not_believed(edge: Edge) -> None:
    # Proxies append addresses: the client's claim, then the client, then another proxy.
    claims = {"X-Forwarded-For": "10.0.0.1, 203.0.113.50, 10.9.1.1", "CF-Connecting-IP": "203.0.113.50"}
    assert edge.ask(APP, "/", claims, source=CDN).reached("X-Forwarded-For") == ["203.0.113.50"]


def test_networks_and_limits_apply_to_the_client(header: str, edge: Edge) -> None:
    assert edge.ask("office.example.com", "/", {header: OFFICE}, source=CDN).status == 200
    assert edge.ask("office.example.com", "/", {header: VISITOR}, source=CDN).status == 403
    assert edge.ask("office.example.com", "/", {header: OFFICE}).status == 403
    clients = [f"203.0.113.{number}" for number in (60, 61, 62)]
    found = [edge.ask("limited.example.com", "/", {header: client}, source=CDN).status for client in clients]
    assert found == [200] * 3


def test_the_log_names_the_client(header: str, edge: Edge) -> None:
    edge.ask(APP, "/by-cdn", {header: "203.0.113.51"}, source=CDN)
    said = edge.log(f"{APP}.access.log", "/by-cdn")
    (line,) = [line for line in said.splitlines() if "/by-cdn" in line]
    assert line.startswith("203.0.113.51 ")
