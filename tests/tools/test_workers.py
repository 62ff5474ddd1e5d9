"""How the workers of `make test` share the lab: many files at once, or one alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.workers import Turns, arrange, says_alone

TESTS = Path(__file__).resolve().parents[1]


def item(file: str, *, host: bool = True, alone: bool = False, name: str = "test") -> Any:
    return SimpleNamespace(
        path=Path(file),
        name=name,
        fixturenames=["lab"] if host else ["tmp_path"],
        get_closest_marker=lambda mark: mark if alone and mark == "alone" else None,
    )


class Worker:
    """One that runs tests by hand."""

    def __init__(self, folder: Path) -> None:
        self.turns = Turns(folder)
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def begin(self, test: Any, following: Any = None) -> bool:
        """Begin a test in the background; tell whether it had its turn soon."""
        self.begun.clear()
        self.may_end.clear()
        self.thread = threading.Thread(target=self._run, args=(test, following), daemon=True)
        self.thread.start()
        return self.begun.wait(0.2)

    def _run(self, test: Any, following: Any) -> None:
        around = self.turns.pytest_runtest_protocol(test, following)
        next(around)
        self.begun.set()
        self.may_end.wait(10)
        around.close()

    def end(self) -> None:
        self.may_end.set()
        self.thread.join(5)


def test_files_share_the_lab_and_one_that_wants_it_alone_waits_and_is_not_overtaken(tmp_path: Path) -> None:
    one, two, three = (Worker(tmp_path) for _ in range(3))
    assert one.begin(item("a"))
    assert two.begin(item("b"))
    assert not three.begin(item("c", alone=True), item("c", alone=True))
    two.end()
    assert not two.begin(item("b")), "it overtook who waits to be alone"
    assert not three.begun.is_set()
    one.end()
    assert three.begun.wait(5)
    assert one.begin(item("d", host=False)), "what needs no host has to wait"
    one.end()

    # It stays alone until the last of its file.
    three.end()
    assert three.begin(item("c", alone=True), item("e"))
    assert not two.begun.is_set()
    three.end()
    assert two.begun.wait(5)
    two.end()


def test_who_wants_the_lab_alone_has_it_first_beside_those_without_a_host_and_then_the_long_ones() -> None:
    short, long = [item("short")], [item("long"), item("long", host=False)]
    quick, alone = [item("quick", host=False)], [item("alone", alone=True)]
    items = [*short, *long, *quick, *alone]
    arrange(items)
    assert [str(test.path) for test in items] == ["alone", "quick", "long", "long", "short"]


def test_one_worker_has_all_that_want_to_be_alone() -> None:
    assert says_alone(TESTS / "e2e/access/test_reach.py")
    assert not says_alone(Path(__file__))
    # A mark in another way would be obeyed, and not seen by who gives out the files.
    for path in TESTS.rglob("test_*.py"):
        assert says_alone(path) or "pytest.mark.alone" not in path.read_text() or path == Path(__file__)


def test_a_worker_that_dies_is_told_and_the_others_finish_its_files(tmp_path: Path) -> None:
    """In a run of its own: with xdist's own scheduler it never ends."""
    (tmp_path / "conftest.py").write_text(
        "from tests.workers import ByFile\n"
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
        [sys.executable, *argv], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    )  # fmt: skip
    assert "crashed while running 'test_z_dies.py::test_dies'" in done.stdout, done.stdout + done.stderr
    assert "1 failed, 35 passed" in done.stdout, done.stdout
    assert done.returncode == 1
