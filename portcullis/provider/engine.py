"""Ends the plugin when Pulumi's engine ends; otherwise the plugin would keep its hosts locked forever."""

from __future__ import annotations

import functools
import os
import select
import stat
import sys
import threading
from typing import TYPE_CHECKING

from portcullis.host.session import close_sessions

if TYPE_CHECKING:
    from collections.abc import Callable


@functools.cache
def end_with_engine() -> None:
    """End this process when the Pulumi engine that started it ends, even if the engine was killed.

    Pulumi's engine holds the other end of a plugin's standard output, which closes when the engine ends. We
    cannot watch the parent process instead, because it may be a script between the engine and us.
    """
    output = sys.__stdout__.fileno() if sys.__stdout__ else -1
    if output >= 0 and stat.S_ISFIFO(os.fstat(output).st_mode):
        threading.Thread(target=wait_for_reader, args=(output, _leave), daemon=True).start()


def wait_for_reader(pipe: int, gone: Callable[[], None]) -> None:
    """Wait until the reading end of a pipe is closed, then call `gone`."""
    poll = select.poll()
    poll.register(pipe, 0)  # no events: an error is always reported
    poll.poll()
    gone()


def _leave() -> None:
    # The agents finish their running operations and end.
    close_sessions()
    os._exit(1)
