"""The gate is red whenever something is wrong, and tells what it tried again. It runs over a small suite."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.tools.test_workers import TESTS
from tools.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PASSES = "def test_it(): pass"
FAILS = "def test_it(): assert 'wrong' == 'right'"
FLAKES = """
from pathlib import Path
def test_first(): pass
def test_it():
    again = Path("again")
    if not again.exists():
        again.touch()
        assert "the host was slow" == ""
"""
ONCE = "import pytest\npytestmark = pytest.mark.once" + FLAKES
ONCE_IN_SETUP = """
import pytest
from pathlib import Path
@pytest.fixture
def host():
    again = Path("again")
    if not again.exists():
        again.touch()
        raise OSError("the host did not boot")
@pytest.mark.once
def test_it(host): pass
"""
SKIPS_THEN = FLAKES.replace(
    "if not again", "if again.exists(): __import__('pytest').skip('')\n    if not again"
)
CRASHES = "import os\ndef test_it(): os._exit(1)"
HANGS = "import time\ndef test_it(): time.sleep(600)"

Files = dict[str, str]


@pytest.fixture
def gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[str]]]:
    """Return a function that runs the gate and returns its exit code and what it printed."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS.parent))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(
        stories: Files, quick: str = PASSES, floor: int = 1, minutes: float = 10,
        others: dict[str, int] | None = None, **keys: Any,
    ) -> tuple[int, list[str]]:  # fmt: skip
        (tmp_path / "tests" / "e2e").mkdir(parents=True)
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
        (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.stories"]\n')
        (tmp_path / "tests" / "test_quick.py").write_text(quick)
        (tmp_path / "tests" / "e2e" / "test_left_out.py").write_text(FAILS)
        table = [f"floor = {floor}", 'nightly = ["tests/e2e/test_mirror.py"]', "[others]"]
        for name, seconds in (others or {}).items():
            (tmp_path / "tests" / "e2e" / f"test_{name}.py").write_text(PASSES)
            table += [f'"tests/e2e/test_{name}.py" = {seconds}']
        for name, text in stories.items():
            (tmp_path / "tests" / "e2e" / f"test_{name}.py").write_text(text)
            table += [f'[stories."tests/e2e/test_{name}.py"]', "seconds = 1"]
            table += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        (tmp_path / "tests" / "stories.toml").write_text("\n".join(table))
        options = ["-p", "xdist", "-p", "no:cacheprovider", "-q"]
        with pytest.raises(SystemExit) as ended:
            Gate(tmp_path, options, kept=tmp_path / "flaky.jsonl", minutes=minutes).run()
        code = ended.value.code
        assert isinstance(code, int)
        said = capfd.readouterr()
        return code, [*said.err.splitlines(), *said.out.splitlines()]

    return run


def test_green_tells_what_failed_once_and_what_did_not_run(gate: Any, tmp_path: Path) -> None:
    code, said = gate({"flakes": FLAKES, "passes": PASSES})
    assert code == 0
    assert said[-1] == "4 passed, 0 failed"
    assert "NOT RUN  tests/e2e/test_left_out.py: 1 of 1 tests" in said
    [flaky] = [line for line in said if line.startswith("FLAKY")]
    assert "tests/e2e/test_flakes.py::test_it (first: AssertionError: assert 'the host was slow'" in flaky
    kept = json.loads((tmp_path / "flaky.jsonl").read_text())
    assert kept["test"] == "tests/e2e/test_flakes.py::test_it"


def test_a_host_that_did_not_boot_is_tried_again_for_a_test_that_is_marked_once(gate: Any) -> None:
    code, said = gate({"host": ONCE_IN_SETUP})
    assert (code, said[-1]) == (0, "2 passed, 0 failed")


@pytest.mark.parametrize(
    ("stories", "settings", "why"),
    [
        ({"passes": PASSES}, {"quick": FAILS}, "NOT RUN  no test with a host"),
        ({"passes": PASSES}, {"quick": ""}, "pytest ended with 5"),
        ({"passes": PASSES}, {"quick": "import nothing_of_that_name"}, "pytest ended with 1"),
        ({"fails": FAILS}, {}, "tests/e2e/test_fails.py failed twice"),
        ({"once": ONCE}, {}, "test_once.py::test_it is marked `once`"),
        ({"crashes": CRASHES}, {}, ": its process crashed, or its file"),
        ({"broken": "import nothing_of_that_name"}, {}, "NOT RUN  no test with a host"),
        (dict.fromkeys("abcd", FAILS), {}, "more than 3 files failed"),
        ({"hangs": HANGS}, {"minutes": 0.1}, "longer than 0.1 minutes"),
        ({"passes": PASSES}, {"floor": 3}, "2 tests passed, and at least 3 have to"),
        ({"passes": PASSES}, {"through": "test_that_went"}, "test_passes.py has no test test_that_went"),
        ({"passes": ""}, {}, "pytest ended with 5"),
        ({"passes": PASSES, "empty": ""}, {}, "test_empty.py: none of its tests with a host ran"),
        ({"skips": SKIPS_THEN}, {}, "test_skips.py failed twice"),
    ],
    ids=[
        "a quick test fails",
        "no quick test",
        "a quick file is broken",
        "a story fails twice",
        "a test that is marked once",
        "a process crashes",
        "a file of a story is broken",
        "four files",
        "a test hangs",
        "the floor",
        "a test of the table went",
        "empty stories",
        "one empty story",
        "a second try that skips",
    ],
)
def test_red(gate: Any, stories: Files, settings: dict[str, Any], why: str) -> None:
    code, said = gate(stories, **settings)
    assert code == 1
    assert not said[-1].endswith(" 0 failed")
    assert any(why in line for line in said), said
    assert not any(line.startswith("FLAKY") for line in said)


def test_a_story_that_was_not_begun_is_told_after_the_quick_tests_failed(gate: Any, tmp_path: Path) -> None:
    story = "from pathlib import Path\ndef test_it(): Path('began').touch()"
    assert gate({"begins": story}, quick=FAILS)[0] == 1
    assert not (tmp_path / "began").exists()


def test_a_part_of_a_file_is_a_story(gate: Any) -> None:
    names = ("one_12", "one_13", "two_12", "two_13", "three_13")
    story = "\n".join(f"def test_{name}(): pass" for name in names)
    code, said = gate({"part": story}, only=["_13"], through="test_two_13")
    assert (code, said[-1]) == (0, "3 passed, 0 failed")
    assert "NOT RUN  tests/e2e/test_part.py: 3 of 5 tests" in said


def test_what_the_change_touches_runs_as_a_whole_as_far_as_the_time_goes(gate: Any) -> None:
    """Without .ci/base, each file counts as touched."""
    parts = "def test_one(): pass\ndef test_two(): pass"
    code, said = gate({"part": parts}, through="test_one", whole=801.5, others={"fits": 100, "mirror": 1})
    assert (code, said[-1]) == (0, "3 passed, 0 failed")
    assert ".ci/base is missing or empty. So every file with hosts counts as touched." in said
    assert "TOUCHED  tests/e2e/test_fits.py runs as a whole (no usable base)" in said
    assert "NOT RUN  tests/e2e/test_part.py: 1 of 2 tests (no usable base; its 800.5 s do not fit)" in said
    why = "no usable base; it depends on the mirrors of the day"
    assert f"NOT RUN  tests/e2e/test_mirror.py: 1 of 1 tests ({why})" in said


def test_a_touched_story_runs_beyond_its_part(gate: Any) -> None:
    code, said = gate({"part": f"def test_one(): pass\n{FAILS}"}, through="test_one", whole=3)
    assert code == 1
    assert "error: tests/e2e/test_part.py failed twice" in said
