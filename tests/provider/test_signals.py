"""A signal ends a plugin at any moment, also between the line with its port and its wait for the signal."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

# Python runs a signal handler in the main thread, between two lines. If this thread has a lock that the
# handler needs, both wait forever.
PROGRAM = """
import os, signal, sys, threading

FILES = ("__main__.py", "serve.py", "threading.py")

class Output:
    flush = sys.stdout.flush
    lines = None

    def write(self, text):
        # By then, the main thread only waits.
        threading.Timer(2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        self.lines = 0

output = Output()

def trace(frame, event, _):
    if event == "line" and output.lines is not None and os.path.basename(frame.f_code.co_filename) in FILES:
        output.lines += 1
        if output.lines == {line}:
            os.kill(os.getpid(), signal.SIGTERM)
    return trace

sys.stdout = output
{start}
sys.settrace(trace)
main({arguments})
"""


@pytest.mark.parametrize(
    ("start", "arguments"),
    [
        ("from portcullis.provider.__main__ import main", ""),
        ("from lab.plugins.serve import main", "['command']"),
    ],
    ids=["portcullis", "lab"],
)
def test_a_signal_at_any_moment_ends_a_plugin(start: str, arguments: str) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", PROGRAM.format(line=line, start=start, arguments=arguments)])
        for line in range(1, 31)
    ]
    deadline = time.monotonic() + 180  # 30 new processes on a busy machine
    while any(process.poll() is None for process in started) and time.monotonic() < deadline:
        time.sleep(0.1)
    codes = [process.poll() for process in started]
    for process in started:
        process.kill()
        process.wait()
    assert codes == [0] * len(codes)
