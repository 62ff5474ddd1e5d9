"""Small text files that several processes read while one of them writes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def replace_file(path: Path, text: str) -> None:
    """Write a file in one step, so that nobody reads a part of it. Do nothing if the text is the same."""
    if path.exists() and path.read_text() == text:
        return
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as temporary:
        temporary.write(text)
    Path(temporary.name).replace(path)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one thread of one process at a time read, change and write the files of a folder.

    The Pulumi program, the plugin and the plugin's threads write the same files during one deployment.
    """
    file = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
