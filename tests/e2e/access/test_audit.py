"""The finished host before two auditors: Lynis, and the CIS Docker Benchmark. Neither may fall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.access import cis_docker, lynis
from tests.e2e.stack.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host

WANTED = 85
RAW = 70
"""The index without a waiver, which depends on the machine underneath; a floor against silent losses."""


@pytest.fixture(scope="module")
def finished(module_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The demo's host, with everything on it, and Lynis."""
    made = Program(tmp_path_factory.mktemp("audit") / "program", module_host)
    made.up(timeout=400)
    module_host.run("apt-get -qq update; apt-get -qq -y install lynis >/dev/null", timeout=180)
    yield made
    made.close()


def test_lynis_finds_the_host_hardened(finished: Program) -> None:
    raw = lynis.audit(finished.host)
    waived = lynis.waivers()
    report = lynis.audit(finished.host, waived)
    assert report.index >= WANTED, f"{report.index}, without waivers {raw.index}: {report.lost}"
    assert raw.index >= RAW, raw.lost
    idle = [waiver.test for waiver in waived if waiver.test not in raw.lost]
    assert not idle, f"waived, and nothing to waive: {idle}"
    assert not report.warnings


def test_the_cis_docker_benchmark_has_no_finding_that_is_not_explained(finished: Program) -> None:
    facts = cis_docker.collect(lambda line: finished.host.run(line).stdout)
    assert facts.containers
    assert cis_docker.unexplained(cis_docker.audit(facts)) == []
