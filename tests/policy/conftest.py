"""A copy of the program that tests of the policy pack change and judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.policy.policy_stack import Checkout

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Copy and compile the program once: a change compiles one file."""
    return Checkout(tmp_path_factory.mktemp("policy"))


@pytest.fixture
def checkout(copied: Checkout) -> Iterator[Checkout]:
    """Give the copy; it is as the repository has it before and after each test."""
    yield copied
    copied.restore()
