"""The recorded calls of the official plugins."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recordings"
FILES = tuple(sorted(path.stem for path in FOLDER.glob("*.jsonl")))
TOTAL = 354  # the sum of the files: a call that is dropped or not compared fails a test


@dataclass(frozen=True)
class Call:
    """One call: `place` is FILE:LINE, `errors` the official error texts."""

    place: str
    package: str
    method: str
    request: dict[str, Any]
    response: dict[str, Any] | None
    errors: tuple[str, ...]

    @property
    def urn(self) -> str:
        """The resource it is about, or the empty text."""
        return str(self.request.get("urn", ""))

    @property
    def type(self) -> str:
        """The resource's type token."""
        return str(self.request.get("type", ""))

    def __str__(self) -> str:
        what = self.urn.split("::")[-1] or self.request.get("tok", "")
        return f"{self.place} {self.package} {self.method} {what}"


def calls(file: str) -> list[Call]:
    """All calls of a file, in order."""
    lines = (FOLDER / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        Call(
            f"{file}:{number}",
            call["package"],
            call["method"],
            call["request"],
            call["response"],
            tuple(call.get("errors") or ()),
        )
        for number, call in enumerate(map(json.loads, lines), 1)
    ]
