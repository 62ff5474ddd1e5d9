"""Fixtures: fake hosts in a temporary folder."""

from pathlib import Path

import pytest

from tests.components.inventory.debian import Debian
from tests.components.inventory.looking import Host


@pytest.fixture
def debian(tmp_path: Path) -> Debian:
    return Debian(tmp_path)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "root")
