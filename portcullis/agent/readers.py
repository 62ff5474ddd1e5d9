"""Programs that read a folder's files one after the other, and files that go meanwhile.

nginx lists a folder and then opens what it found there: a file that is removed in between is an error to it.
A deployment that took several sites out at once removed one while it reloaded for another. So it is about the
kind ``file``; others that remove files, such as a jail, read them under a lock of their own.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Readers:
    """Who reads now. Any number may read at a time, one of them twice too; a file goes while nobody does."""

    def __init__(self) -> None:
        """Nobody yet."""
        self._changed = threading.Condition()
        self._reading = 0

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """While a test runs, or a start or reload until what was asked for is there."""
        with self._changed:
            self._reading += 1
        try:
            yield
        finally:
            with self._changed:
                self._reading -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def absent(self) -> Iterator[None]:
        """Wait until nobody reads; whoever begins to has to wait until this is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._reading == 0)
            yield
