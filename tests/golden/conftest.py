"""The fixture that compares a rendered text with a golden file, which people have reviewed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

FILES = Path(__file__).parent / "files"

Golden = Callable[[str | Path, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files that the tests compare with"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Return a function that compares a text with a golden file.

    With --update-golden the function writes the file.
    """
    # pytest knows the option only if its command line names this folder.
    update = request.config.getoption("--update-golden", default=False)

    def compare(file: str | Path, text: str) -> None:
        path = FILES / file
        if update:
            path.write_text(text)
        assert path.exists(), f"{path.name} is new: `make golden` writes it, then review it"
        assert text == path.read_text(), f"{path.name} differs: if it should, run `make golden`"

    return compare
