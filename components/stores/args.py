"""Settings that all stores share."""

from __future__ import annotations

from typing import Annotated

from portcullis.config.value_types import Text

Rotate = Annotated[
    str, Text("a word", r"[A-Za-z0-9._-]{1,40}", 'write any new word in quotes, such as "2026-12"')
]
