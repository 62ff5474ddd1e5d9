from __future__ import annotations

import os
import subprocess

import pytest

from portcullis.cli import bounded_output
from portcullis.cli.bounded_output import OutputTooLong, run_bounded


def test_output_input_and_exit_code() -> None:
    done = run_bounded(["sh", "-c", "cat; echo no >&2; exit 3"], "grüß dich")
    assert (done.returncode, done.stdout, done.stderr) == (3, "grüß dich", "no\n")
    with pytest.raises(subprocess.TimeoutExpired):
        run_bounded(["sleep", "9"], timeout=0.1)


def test_no_fork_handler_runs() -> None:
    """gRPC's writes into the output of the program on a busy machine."""
    ran = []
    os.register_at_fork(before=lambda: ran.append("before"))
    run_bounded(["true"])
    assert ran == []


@pytest.mark.parametrize("where", ["", " >&2"])
def test_endless_output_is_refused(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setattr(bounded_output, "MAX_OUTPUT", 1 << 20)
    with pytest.raises(OutputTooLong, match="more than 1 MB"):
        run_bounded(["sh", "-c", f"yes{where}"], timeout=9)
