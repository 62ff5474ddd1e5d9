"""Keeps files in place while a program reads their folder.

nginx lists a folder and then opens each file. It fails if a file was removed in between. This happened in a
deployment that removed several sites: it removed one file during the reload for another. The kind ``file``
therefore waits for readers. Other kinds that remove files, such as a jail, have a lock of their own.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Readers:
    """The programs that read now. Any number may read at a time. A file is removed only while none reads.

    A reader may enter `reading` again.
    """

    def __init__(self) -> None:
        """Start without a reader."""
        self._changed = threading.Condition()
        self._reading = 0

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Count as a reader during a test, or during a start or reload until the service is ready."""
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
        """Wait until nobody reads. New readers wait until the block has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._reading == 0)
            yield
