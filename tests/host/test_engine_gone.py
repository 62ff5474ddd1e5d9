from __future__ import annotations

import os
import threading

from portcullis.provider.engine import wait_for_reader


def test_a_plugin_notices_the_end_of_the_engine() -> None:
    reader, writer = os.pipe()
    gone = threading.Event()
    watch = threading.Thread(target=wait_for_reader, args=(writer, gone.set), daemon=True)
    watch.start()
    os.write(writer, b"12345\n")
    assert not gone.wait(0.2)
    os.close(reader)
    assert gone.wait(60)
    watch.join(60)
    os.close(writer)
