"""Run a verb of Pulumi, such as `destroy`, and print its output without control characters.

Pulumi's output contains texts of the host, such as errors of Docker, as the host wrote them. Pulumi draws its
output for a terminal with control characters, so it never gets the terminal. We ask for the approval instead.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING

from portcullis.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_ASKS_NOTHING = re.compile(r"--(yes|skip-preview|preview-only|json|help|non-interactive)(=.*)?|-[a-z]*[yfjh]")
"""With one of these flags, Pulumi asks nothing or refuses to run without a terminal."""


def run(words: Sequence[str]) -> int:
    """Run a verb of Pulumi with its flags, and return the exit code.

    Raises:
        FileNotFoundError: Pulumi is not installed.
    """
    if not sys.stdin.isatty() or any(map(_ASKS_NOTHING.fullmatch, words)):
        return _run(words)
    code = _run([*words, "--preview-only"])
    if code:
        return code
    try:
        answer = input(f"Do you want to perform this {words[0]}? yes or no: ")
    except (EOFError, KeyboardInterrupt):
        answer = "no"
    if answer.strip().lower() in ("yes", "y"):
        return _run([*words, "--yes", "--skip-preview"])
    sys.stdout.write("Nothing was changed.\n")
    return 1


def _run(words: Sequence[str]) -> int:
    process = subprocess.Popen(
        ["pulumi", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
    )
    # Ctrl-C reaches Pulumi, too. Pulumi ends by itself, and we still print its last messages.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        beside = threading.Thread(target=_pass_on, args=(process.stderr, sys.stderr))
        beside.start()
        _pass_on(process.stdout, sys.stdout)
        beside.join()
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def _pass_on(source: IO[str] | None, sink: IO[str]) -> None:
    for line in source or ():
        sink.write(printable(line))
        sink.flush()
