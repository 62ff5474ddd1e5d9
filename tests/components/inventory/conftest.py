"""A host below a temporary folder."""

from typing import TYPE_CHECKING

import pytest

from tests.components.inventory.looking import Host

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def host(tmp_path: "Path") -> Host:
    return Host(tmp_path / "root")
