"""Certificates with the certbot of Debian 12, which has no profiles and no renewal by lifetime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import acme
from tests.e2e.edge.edge import NAME, Edge
from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.pytest_lab import Host


@pytest.fixture(scope="module")
def edge(make_module_host: Callable[..., Host], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Deploy a site to a host with Debian 12."""
    host = make_module_host("bookworm")
    project = Project(tmp_path_factory.mktemp("edge12") / "edge12", host, name="edge12")
    made = Edge(project, acme.of(host.record))
    made.declare(NAME).up()
    yield made
    project.close()


def test_debian_12_issues_one_certificate_and_serves_it(edge: Edge) -> None:
    assert edge.acme.orders == 1
    assert edge.serial()
    edge.project.unchanged()


def test_debian_12_renews_by_its_timers_unit_and_that_is_no_difference(edge: Edge) -> None:
    before = edge.serial()
    edge.make_due()
    edge.run_timers_unit()
    edge.serves_anew(before)
    edge.not_due()
    edge.project.unchanged()


def test_debian_12_issues_a_name_more_in_place(edge: Edge) -> None:
    edge.declare(NAME, "api.example.com").up()
    assert edge.serial("api.example.com") == edge.serial()
    assert edge.lineages() == [f"{edge.lineage}.conf"]
    edge.project.unchanged()


def test_debian_12s_certbot_hides_what_the_authority_says_and_it_is_told(edge: Edge) -> None:
    edge.acme.stop()
    edge.acme.start(refuse_nonces=True)
    edge.declare(NAME, "api.example.com", "shop.example.com").up(fails=True).has("anti-replay nonce")
    edge.acme.stop()
    edge.acme.start()
    edge.project.up()
    edge.project.unchanged()


def test_debian_12_says_that_its_certbot_knows_no_profiles(edge: Edge) -> None:
    program = edge.project.folder / "__main__.py"
    program.write_text(program.read_text().replace('email="ops', 'profile="tlsserver", email="ops'))
    edge.project.up(fails=True).has("this host's certbot 2.1 does not support certificate profiles")
    edge.declare(*edge.names).up()
    edge.project.unchanged()
