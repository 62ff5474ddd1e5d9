"""A file is removed only while no program reads its folder."""

from __future__ import annotations

import contextlib
import threading

from portcullis.agent.readers import Readers


def test_a_removal_waits_for_all_readers_and_a_reader_may_enter_again() -> None:
    readers, gone = Readers(), threading.Event()

    def remove() -> None:
        with readers.absent():
            gone.set()

    thread = threading.Thread(target=remove)
    with readers.reading():
        with contextlib.suppress(OSError), readers.reading():
            raise OSError
        thread.start()
        with readers.reading():  # again, while a removal waits
            assert not gone.wait(0.05)
    thread.join(60)
    assert gone.is_set()


def test_a_reader_waits_for_a_removal() -> None:
    readers, order = Readers(), []

    def read() -> None:
        with readers.reading():
            order.append("read")

    thread = threading.Thread(target=read)
    with readers.absent():
        thread.start()
        thread.join(0.05)
        order.append("removed")
    thread.join(60)
    assert order == ["removed", "read"]
