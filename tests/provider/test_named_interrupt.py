"""Ctrl-C in a user's own program."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, time
{before}
from portcullis.provider.named import end_without_traceback
end_without_traceback()
os.kill(os.getpid(), signal.SIGINT)
time.sleep(5)
"""


@pytest.mark.parametrize(
    ("before", "code"),
    [("", 32), ("signal.signal(signal.SIGINT, lambda *_: os._exit(7))", 7)],
)
def test_an_interrupt_ends_a_program_quietly_unless_it_has_a_handler(before: str, code: int) -> None:
    # Background processes of a shell ignore an interrupt, and so do their child processes.
    argv = ["env", "--default-signal=INT", sys.executable, "-c", PROGRAM.format(before=before)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
