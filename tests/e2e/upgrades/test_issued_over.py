"""The renewals of a certificate failed for a month, so it has ended. A public authority had issued it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import acme
from tests.e2e.edge.edge import NAME, Edge
from tests.e2e.edge.test_issued_certificates import grow_old
from tests.e2e.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from lab.pytest_lab import Host


def test_it_shows_with_the_reason_and_up_renews_what_is_served(host: Host, tmp_path: Path) -> None:
    project = Project(tmp_path / "edge", host, name="edge")
    edge = Edge(project, acme.of(host.record))
    try:
        edge.declare(NAME).up()
        first = edge.serial()
        grow_old(edge, "-92days", "-2days")
        host.run("systemctl reload nginx")
        shown = project.preview().has("Certificate: (update)", '=> "fresh"')
        said = next(line for line in shown.output.splitlines() if "expiry" in line)
        assert '"expired 2 days ago: ' in said
        project.up()
        assert edge.serial() not in {"", first}
        project.unchanged()
    finally:
        project.close()
