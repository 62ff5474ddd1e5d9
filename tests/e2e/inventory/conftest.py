"""The fixture for a host of the inventory tests, with an app, two sites and a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import docker29
from tests.e2e.inventory import report

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program


@pytest.fixture(scope="module")
def finished(deployed: Program) -> Program:
    """Deploy an app, two sites and a store to a host, and check that a preview finds no difference."""
    deployed.set("stores", redis={"image": deployed.image("redis:7")})
    deployed.site("second.example.com", app="hello", tls="none")
    if docker29.asked_for():
        # The lab's packages of Docker 29 come from a folder of the host. The walk finds that.
        report.walk(deployed)
        accepted = {f"package {name}": "the lab built it" for name in ("docker.io", "docker-cli")}
        deployed.set("hosts.web1", inventory={"accept": accepted})
    deployed.up()
    report.walk(deployed)
    report.quiet(deployed, "after the first up")
    return deployed
