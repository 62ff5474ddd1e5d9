"""A copy of the program, which tests of the policy pack edit and check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.policy.policy_stack import Checkout

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Copy and compile the program once. A later change compiles only one file."""
    return Checkout(tmp_path_factory.mktemp("policy"))


@pytest.fixture
def checkout(copied: Checkout) -> Iterator[Checkout]:
    """Return the copy of the program. Before and after each test, the copy is the same as the repository."""
    yield copied
    copied.restore()
