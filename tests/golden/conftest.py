"""Compare what is rendered with files that people review."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

FILES = Path(__file__).parent / "files"

Golden = Callable[[str | Path, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what tests compare with")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare a text with a file, or write it with --update-golden, for `git diff` to show."""
    # The option is known only when pytest is started on this folder by name.
    update = request.config.getoption("--update-golden", default=False)

    def compare(file: str | Path, text: str) -> None:
        path = FILES / file
        if update:
            path.write_text(text)
        assert path.exists(), f"{path.name} is new: `make golden` writes it, then review it"
        assert text == path.read_text(), f"{path.name} differs: if it should, run `make golden`"

    return compare
