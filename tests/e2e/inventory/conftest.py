"""The fixture for a host of the inventory tests, with an app, two sites and a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.inventory import report

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program


@pytest.fixture(scope="module")
def finished(deployed: Program) -> Program:
    """Deploy an app, two sites and a store to a host, and check that a preview finds no difference."""
    deployed.set("stores", redis={"image": deployed.image("redis:7")})
    deployed.site("second.example.com", app="hello", tls="none")
    deployed.up()
    report.walk(deployed)
    report.quiet(deployed, "after the first up")
    return deployed
