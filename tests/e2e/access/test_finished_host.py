"""The host of the demo is scanned from four places, and checked by two auditors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import scan
from tests.e2e.access import cis_docker, lynis

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program

WANTED = 85
RAW = 70
"""The index without a waiver, which depends on the machine underneath; a floor against silent losses."""


@pytest.fixture(scope="module")
def finished(deployed: Program) -> Program:
    """The demo's host, with everything on it, and Lynis."""
    # Installed by hand it would be drift.
    deployed.host.run(
        "apt-get -qq update; apt-get -qq -y install lynis >/dev/null; apt-mark auto lynis", timeout=180
    )
    return deployed


def test_from_four_places_only_ssh_and_the_web_answer(finished: Program) -> None:
    host = finished.host
    image = finished.image("hello:1")
    # Publish two containers on all interfaces by hand, on docker0 and on a bridge with its own name.
    host.run(
        f"docker run -d --name careless -p 8081:8080 {image};"
        " docker network create -o com.docker.network.bridge.name=shop0 shop;"
        f" docker run -d --name shop --network shop -p 8082:8080 {image}"
    )
    inside = [
        address
        for name in ("hello", "careless", "shop")
        for address in host.run(
            f"docker inspect -f '{{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}}{{{{end}}}}' {name}"
        ).stdout.split()
    ]
    assert len(inside) == 3
    everything = dict.fromkeys((host.address, host.address6), scan.ALL)
    containers = {address: [8080] for address in inside} | {"172.17.0.1": [8080, 8081, 8082]}
    for place in (scan.internet(), scan.neighbour(host.record)):
        found = scan.tcp(place, everything | containers)
        assert {port for address in everything for port in found[address].open} == {22, 80, 443}
        assert not any(found[address].open for address in containers), found
    for name, own in (("careless", inside[1]), ("shop", inside[2])):
        place = scan.container(host.engine, host.record, name)
        found = scan.tcp(place, {host.address: scan.ALL, **containers})
        assert found[host.address].open == {22, 80, 443}
        assert not any(found[address].open for address in containers if address != own), (name, found)
    host.run("docker rm -f careless shop; docker network rm shop")
    finished.preview("--expect-no-changes")


def test_lynis_finds_the_host_hardened(finished: Program) -> None:
    raw = lynis.audit(finished.host)
    waived = lynis.waivers()
    report = lynis.audit(finished.host, waived)
    assert report.index >= WANTED, f"{report.index}, without waivers {raw.index}: {report.lost}"
    assert raw.index >= RAW, raw.lost
    idle = [waiver.test for waiver in waived if waiver.test not in raw.lost]
    assert not idle, f"waivers without a finding: {idle}"
    assert not report.warnings


def test_the_cis_docker_benchmark_has_no_finding_that_is_not_explained(finished: Program) -> None:
    facts = cis_docker.collect(lambda line: finished.host.run(line).stdout)
    assert facts.containers
    assert cis_docker.unexplained(cis_docker.audit(facts)) == []


def test_the_kernel_loads_no_module_that_a_users_socket_asks_for(finished: Program) -> None:
    for module in ("algif_aead", "rxrpc", "esp4", "esp6"):
        said = finished.host.run(["/usr/sbin/modprobe", "--dry-run", "--verbose", module]).stdout
        assert said.strip() == "install /bin/false"
