"""A finished host for each file of tests, with an app, a site and a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.inventory import report
from tests.e2e.stack.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host


@pytest.fixture(scope="module")
def finished(module_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A host that differs in nothing."""
    made = Program(tmp_path_factory.mktemp("inventory") / "program", module_host)
    made.set("stores", redis={"image": made.image("redis:7")})
    made.up(timeout=600)
    report.walk(made)
    report.quiet(made, "after the first up")
    yield made
    made.close()
