"""The distribution of test files among the workers of `make test`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.stories import arranged, by_file

TESTS = Path(__file__).resolve().parents[1]


def test_what_takes_longest_comes_first_and_then_what_has_most_tests() -> None:
    items: Any = [
        SimpleNamespace(nodeid=f"{file}::test_{n}", fixturenames=["lab"], get_closest_marker=lambda _: None)
        for file, tests in {"few": 1, "many": 2, "short": 1, "long": 1}.items()
        for n in range(tests)
    ]
    quick: Any = SimpleNamespace(nodeid="quick::test_0", get_closest_marker=lambda _: None)
    files = by_file(arranged([*[quick] * 3, *items], {"long": 9, "short": 1}))
    assert list(files) == ["long", "short", "many", "few", "quick"]


def test_a_worker_that_dies_is_told_and_the_others_finish_its_files(tmp_path: Path) -> None:
    """The test starts pytest in a separate process.

    With xdist's own scheduler, that run of pytest would never end.
    """
    (tmp_path / "conftest.py").write_text(
        "from tests.stories import ByFile\n"
        "def pytest_xdist_make_scheduler(config, log):\n"
        "    return ByFile(config, log)\n"
    )
    for name in "abcdefghijklmnop":
        (tmp_path / f"test_{name}.py").write_text(f"def test_{name}_1(): pass\ndef test_{name}_2(): pass\n")
    (tmp_path / "test_z_dies.py").write_text(
        "import os, pathlib, time\n"
        "def test_first(): time.sleep(0.5)\n"
        "def test_dies():\n"
        "    if not pathlib.Path('died').exists():\n"
        "        pathlib.Path('died').touch()\n"
        "        os._exit(1)\n"
        "def test_afterwards(): pass\n"
    )
    argv = ["-m", "pytest", "-p", "no:cacheprovider", "--numprocesses", "2", "--dist", "loadfile"]
    argv += ["--no-loadscope-reorder"]
    done = subprocess.run(
        [sys.executable, *argv], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    )  # fmt: skip
    assert "crashed while running 'test_z_dies.py::test_dies'" in done.stdout, done.stdout + done.stderr
    assert "1 failed, 35 passed" in done.stdout, done.stdout
    assert done.returncode == 1
