"""Run a verb of Pulumi, such as `destroy`, and print its output without control characters.

Pulumi's output contains texts of the host, such as errors of Docker, as the host wrote them. If Pulumi may
ask for an approval, it needs the terminal, and its output stays as it is.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING, TextIO

from portcullis.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_ASKS_NOTHING = re.compile(r"--(yes|skip-preview|preview-only|json|help|non-interactive)(=.*)?|-[a-z]*[yfjh]")
"""With one of these flags, Pulumi asks nothing or refuses to run without a terminal."""


def run(words: Sequence[str]) -> int:
    """Run a verb of Pulumi with its flags, and return the exit code. Replace this process if Pulumi may ask.

    Raises:
        FileNotFoundError: Pulumi is not installed.
    """
    if sys.stdin.isatty() and not any(map(_ASKS_NOTHING.fullmatch, words)):
        sys.stdout.flush()
        os.execvp("pulumi", ["pulumi", *words])  # noqa: S606 - no shell is wanted, and its exit code is ours
    # Ctrl-C reaches Pulumi, too. Pulumi ends by itself, and we still print its last messages.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process = subprocess.Popen(["pulumi", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        beside = threading.Thread(target=_pass_on, args=(process.stderr, sys.stderr))
        beside.start()
        _pass_on(process.stdout, sys.stdout)
        beside.join()
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _pass_on(source: IO[bytes] | None, sink: TextIO) -> None:
    # Reading goes on if nobody reads what we write: Pulumi must not stop in the middle of a change.
    for line in source or ():
        text = printable(line.decode("utf-8", "replace"))
        with contextlib.suppress(OSError):
            sink.write(
                text.encode(sink.encoding or "utf-8", "backslashreplace").decode(sink.encoding or "utf-8")
            )
            sink.flush()
