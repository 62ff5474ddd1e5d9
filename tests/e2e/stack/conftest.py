"""The fixture for a program that is not yet deployed to its bare host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.stack.program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, module_host: Host) -> Iterator[Program]:
    """Return the program with the usual settings, not yet deployed."""
    made = Program(tmp_path_factory.mktemp("stack") / "program", module_host)
    yield made
    made.close()
