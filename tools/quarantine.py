"""The tests of tests/quarantine.toml: for two weeks at most they run, and their failure does not decide."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "tests/quarantine.toml"
MOST = 5
DAYS = 14

_Text = Annotated[str, Field(min_length=5)]


class Entry(BaseModel, frozen=True, strict=True, extra="forbid"):
    """One entry. `test` is a file, a test, or one case of it."""

    test: Annotated[str, Field(pattern=r"^tests/[^:]+\.py(::.+)?$")]
    reason: _Text
    issue: _Text
    entered: date
    ends: date

    def holds(self, nodeid: str) -> bool:
        """Return whether it is about a test."""
        return nodeid == self.test or nodeid.startswith((f"{self.test}::", f"{self.test}["))


class _Table(BaseModel, strict=True, extra="forbid"):
    entry: Annotated[list[Entry], Field(max_length=MOST)] = []


def load(root: Path, today: date) -> list[Entry]:
    """Return the entries of a checkout, also those that have ended.

    Raises:
        ValueError: the file breaks a rule. The text says which.
    """
    file = root / FILE
    try:
        entries = _Table.model_validate(tomllib.loads(file.read_text()) if file.exists() else {}).entry
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ValueError(f"{FILE}: {'; '.join(faults)}") from None
    except ValueError as error:
        raise ValueError(f"{FILE}: {error}") from None
    for entry in entries:
        # One that is entered tomorrow would last longer than it says.
        if entry.ends > min(entry.entered, today) + timedelta(days=DAYS):
            raise ValueError(f"{FILE}: {entry.test} ends more than {DAYS} days after it was entered")
        if not (root / entry.test.partition("::")[0]).is_file():
            raise ValueError(f"{FILE}: {entry.test} is not there")
    return entries
