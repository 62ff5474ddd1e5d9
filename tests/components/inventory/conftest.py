from pathlib import Path

import pytest

from tests.components.inventory.debian import Debian


@pytest.fixture
def debian(tmp_path: Path) -> Debian:
    return Debian(tmp_path)
