from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.programs import installed
from tools.steps import StepError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PORTCULLIS_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "requirements-nothing.txt"
    file.write_text("# Nothing at all.\n")
    return file


def test_a_programs_environment_is_made_once_and_a_changed_pin_makes_another(requirements: Path) -> None:
    first = installed(requirements)
    mark = first / "left-by-the-test"
    mark.touch()
    assert installed(requirements) == first
    assert mark.exists()
    requirements.write_text("# Something else.\n")
    assert installed(requirements) != first


def test_an_installation_that_failed_is_no_environment(requirements: Path) -> None:
    requirements.write_text("no such requirement ==\n")
    for _ in range(2):
        with pytest.raises(StepError, match="installing nothing failed"):
            installed(requirements)
