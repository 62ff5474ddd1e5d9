"""The table in docs/policy.md is the one that the policies in the code generate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portcullis.policy.describe import with_table

if TYPE_CHECKING:
    from tests.golden.conftest import Golden

PAGE = Path(__file__).parents[2] / "docs/policy.md"


def test_table_of_all_policies(golden: Golden) -> None:
    golden(PAGE, with_table(PAGE.read_text()))


def test_a_page_without_the_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="no comments that mark"):
        with_table("# Policies\n")
