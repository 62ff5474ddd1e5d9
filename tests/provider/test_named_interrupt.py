"""Ctrl-C in a program of somebody's own."""

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
def test_an_interrupt_ends_a_program_without_a_traceback_unless_it_has_its_own_way(
    before: str, code: int
) -> None:
    # What a shell runs in the background ignores an interrupt, and so does all that it starts.
    argv = ["env", "--default-signal=INT", sys.executable, "-c", PROGRAM.format(before=before)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
