"""What every store shares."""

from __future__ import annotations

from typing import Annotated

from portcullis.config.kinds import Text

Rotate = Annotated[
    str, Text("a word", r"[A-Za-z0-9._-]{1,40}", 'write any new one, in quotes, such as "2026-12"')
]
