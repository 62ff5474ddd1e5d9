"""The programs that have to work without a virtual environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.mark.parametrize("program", ["lab/lab.py", "tools/prepare.py", "tools/engine.py"])
def test_it_needs_the_standard_library_only(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-E", TOP / program, "--help"],
        cwd="/", capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")
