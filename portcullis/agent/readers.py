"""Keeps files in place while a program reads their folder.

nginx lists a folder and then opens each file. nginx fails if a file was removed in between. A deployment of
several sites failed this way: it removed one file during the reload for another file. The kind ``file``
therefore waits for readers. Other kinds that remove files, such as the kind of fail2ban's jails, use locks of
their own.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Readers:
    """Counts the programs that are reading a folder.

    Any number of programs may read at a time. A file is removed only while no program reads. A thread that is
    inside `reading` may enter `reading` again.
    """

    def __init__(self) -> None:
        """Start with a count of zero."""
        self._changed = threading.Condition()
        self._reading = 0

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Count one more reader during the block, such as a configuration test or a reload."""
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
        """Wait until no program reads the folder. New readers wait until the block has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._reading == 0)
            yield
