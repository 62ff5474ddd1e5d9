"""A bare host for each file of tests, and the program with settings for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.stack.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, module_host: Host) -> Iterator[Program]:
    """Return the program with the demo's settings, not deployed yet."""
    made = Program(tmp_path_factory.mktemp("stack") / "program", module_host)
    yield made
    made.close()
