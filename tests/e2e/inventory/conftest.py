"""A finished host for each file of tests, with an app, a site and a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.inventory import report

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program


@pytest.fixture(scope="module")
def finished(deployed: Program) -> Program:
    """A host that differs in nothing."""
    deployed.set("stores", redis={"image": deployed.image("redis:7")})
    deployed.up()
    report.walk(deployed)
    report.quiet(deployed, "after the first up")
    return deployed
