from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cpu_time import cpu_time
from benchmarks.measure import BenchmarkError
from benchmarks.preview_floor import checkout, report

ROOT = Path(__file__).resolve().parents[2]
BUSY = "import time\nwhile time.process_time() < 0.5: pass"


def test_the_work_of_a_process_counts_that_outlives_who_started_it() -> None:
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BUSY!r}])"
    assert cpu_time([sys.executable, "-c", orphan], cwd=ROOT, env=os.environ) >= 0.5


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(BenchmarkError, match="exit code 3"):
        cpu_time([sys.executable, "-c", "raise SystemExit(3)"], cwd=ROOT, env=os.environ)


def test_the_copied_tree_has_what_its_tools_read(tmp_path: Path) -> None:
    checkout(tmp_path / "ours")
    program = "from tools import engine, plugins; print(plugins.pinned()['docker'], engine.built())"
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path / "ours", capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr


def test_the_bound_is_of_the_ratio_round_by_round() -> None:
    text, holds = report([(2.6, 2.0), (9.0, 7.0), (2.4, 2.0)])
    assert "1.29 times" in text
    assert holds
    text, holds = report([(2.7, 2.0)])
    assert "BROKEN" in text
    assert not holds
