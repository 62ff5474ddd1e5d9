"""The gate is red whenever something is wrong, and tells what it tried again. It runs over a small suite."""

from __future__ import annotations

import json
import sys
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from tests.canned import until
from tests.tools.test_impact import git
from tests.tools.test_workers import TESTS
from tools import engine
from tools.gate import Gate, engine_beside
from tools.steps import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
ENDS_THEN = FLAKES.replace("if not again", "if again.exists(): __import__('os')._exit(0)\n    if not again")
SLOW = 'assert "the host was slow" == ""'
HANGS_ONCE = "import pytest\npytestmark = pytest.mark.timeout(1)" + FLAKES.replace(
    SLOW, "__import__('time').sleep(600)"
)
ENGINE_HANGS = FLAKES.replace(SLOW, "raise AssertionError('pulumi up did not end within 600 s:')")
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
        stories: Files,
        *,
        engine: Callable[[float], Mapping[str, str]] = lambda _: {},
        quick: str = PASSES,
        floor: int = 1,
        minutes: float = 10,
        others: Mapping[str, int] = MappingProxyType({}),
        quarantine: str = "",
        whole_run: bool = False,
        files: Mapping[str, str] = MappingProxyType({}),
        **keys: Any,
    ) -> tuple[int, list[str]]:
        (tmp_path / "tests" / "e2e").mkdir(parents=True)
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
        (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.stories"]\n')
        (tmp_path / "tests" / "test_quick.py").write_text(quick)
        (tmp_path / "tests" / "e2e" / "test_left_out.py").write_text(PASSES if whole_run else FAILS)
        (tmp_path / "tests" / "quarantine.toml").write_text(quarantine)
        table = [f"floor = {floor}", 'nightly = ["tests/e2e/test_mirror.py"]', "[others]"]
        for name, seconds in others.items():
            (tmp_path / "tests" / "e2e" / f"test_{name}.py").write_text(PASSES)
            table += [f'"tests/e2e/test_{name}.py" = {seconds}']
        for path, text in files.items():
            (tmp_path / path).write_text(text)
        for name, text in stories.items():
            (tmp_path / "tests" / "e2e" / f"test_{name}.py").write_text(text)
            table += [f'[stories."tests/e2e/test_{name}.py"]', "seconds = 1"]
            table += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        (tmp_path / "tests" / "stories.toml").write_text("\n".join(table))
        options = ["-p", "xdist", "-p", "pytest_timeout", "-p", "no:cacheprovider", "-q"]
        if whole_run:
            options += ["-p", "_hypothesis_pytestplugin"]
            git(tmp_path, "init", "--quiet")
            git(tmp_path, "add", "--all")
            git(tmp_path, "commit", "--quiet", "--message", "a change")
        of_it = Gate(
            tmp_path,
            options,
            kept=tmp_path / "flaky.jsonl",
            minutes=minutes,
            workers=1,
            today=TODAY,
            engine=engine,
        )
        with pytest.raises(SystemExit) as ended:
            (of_it.run_all if whole_run else of_it.run)()
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
        ({"hangs": HANGS_ONCE}, {}, "test_hangs.py::test_it hung: Failed: Timeout (>1.0s)"),
        ({"hangs": ENGINE_HANGS}, {}, "test_hangs.py::test_it hung: AssertionError: pulumi up did not end"),
        ({"passes": PASSES}, {"floor": 3}, "2 tests passed, and at least 3 have to"),
        ({"passes": PASSES}, {"through": "test_that_went"}, "test_passes.py has no test test_that_went"),
        ({"passes": ""}, {}, "pytest ended with 5"),
        ({"passes": PASSES, "empty": ""}, {}, "test_empty.py: none of its tests with a host ran"),
        ({"skips": SKIPS_THEN}, {}, "test_skips.py failed twice"),
        ({"ends": ENDS_THEN}, {}, "test_ends.py failed twice"),
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
        "a test hangs until the gate's time is up",
        "a test hangs once",
        "a command of the engine hangs once",
        "the floor",
        "a test of the table went",
        "empty stories",
        "one empty story",
        "a second try that skips",
        "a second try that ends pytest with 0",
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


def test_the_stories_wait_for_the_engine_and_get_its_variables(gate: Any) -> None:
    story = "import os\ndef test_it(): assert os.environ['OF_THE_ENGINE'] == 'x'"
    code, said = gate({"it": story}, engine=lambda _: {"OF_THE_ENGINE": "x"})
    assert (code, said[-1]) == (0, "2 passed, 0 failed")


def test_an_engine_that_cannot_be_built_is_red(gate: Any) -> None:
    def broken(_: float) -> dict[str, str]:
        raise StepError("Go is missing")

    code, said = gate({"it": PASSES}, engine=broken)
    assert code == 1
    assert "error: Go is missing" in said


def test_a_build_of_the_engine_that_fails_or_takes_too_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find", lambda: None)
    fails = "import sys; sys.exit('==> building pulumi\\n\\nerror: Go is missing')"
    with (
        engine_beside([sys.executable, "-c", fails]) as wait,
        pytest.raises(StepError, match=r"^Go is missing$"),
    ):
        wait(120)
    with engine_beside(["sleep", "600"]) as wait, pytest.raises(StepError, match="not built yet"):
        wait(0.1)


def test_the_build_of_the_engine_ends_with_the_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine, "find", lambda: None)
    child = tmp_path / "child"
    with engine_beside(["sh", "-c", f"sleep 600 & echo $! >{child}; wait"]):
        until(lambda: child.exists() and child.read_text().strip())
        pid = int(child.read_text())
    until(lambda: not runs(pid))


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_engine_that_is_there_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find", lambda: "ready")
    monkeypatch.setattr(engine, "environment", lambda ready: {"OF_THE_ENGINE": ready})
    with engine_beside(["no-such-command"]) as wait:
        assert wait(0) == {"OF_THE_ENGINE": "ready"}


TODAY = datetime.now(UTC).date()
STORY = "tests/e2e/test_fails.py"


def entry(test: str, entered: date = TODAY, days: int = 14, more: str = "") -> str:
    return (
        f'[[entry]]\ntest = "{test}"\nreason = "it is slow"\nissue = "issue 5"\n'
        f"entered = {entered}\nends = {entered + timedelta(days=days)}\n{more}"
    )


def test_what_is_in_quarantine_runs_and_decides_nothing(gate: Any) -> None:
    """The file has a flaky test beside it, whose second try fails the same test."""
    story = f"{FLAKES.replace('test_it', 'test_flakes')}\n{FAILS}"
    listed = entry("tests/test_quick.py") + entry(f"{STORY}::test_it")
    code, said = gate({"fails": story}, quick=FAILS, quarantine=listed)
    assert (code, said[-1]) == (0, "2 passed, 0 failed")
    until = f"until {TODAY + timedelta(days=14)} (it is slow; issue 5)"
    assert f"QUARANTINE  tests/test_quick.py: 1 failed; {until}" in said
    assert f"QUARANTINE  {STORY}::test_it: 1 failed; {until}" in said
    assert not any(line.startswith(("QUARANTINE ENDED", "FAILED  ")) for line in said)


def test_all_of_a_story_may_be_in_quarantine_and_a_fixture_may_fail(gate: Any) -> None:
    story = (
        "import pytest\n@pytest.fixture\ndef host(): raise OSError\n"
        f"def test_boots(host): pass\n{PASSES}\n"
        "@pytest.mark.parametrize('n', [1, 2])\ndef test_n(n): assert n == 1"
    )
    code, said = gate({"fails": story}, quarantine=entry(STORY))
    assert (code, said[-1]) == (0, "1 passed, 0 failed")
    assert any(f"QUARANTINE  {STORY}: 2 failed, 2 passed;" in line for line in said)


def test_what_does_not_count_does_not_reach_the_floor(gate: Any) -> None:
    code, said = gate({"fails": PASSES}, floor=2, quarantine=entry(STORY))
    assert code == 1
    assert "error: 1 tests passed, and at least 2 have to (tests/stories.toml)" in said


def test_a_quarantine_that_has_ended_is_told_loudly(gate: Any) -> None:
    code, said = gate({"fails": FAILS}, quarantine=entry(STORY, TODAY - timedelta(days=15)))
    assert code == 0
    ended = f"QUARANTINE ENDED  {STORY}: `make test-all` is red until it leaves the list"
    assert ended in said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[entry]", "Expected"),
        ("[entry]\n", "entry: Input should be a valid list"),
        (entry(STORY).replace("reason", "cause"), "entry.0.reason: Field required; entry.0.cause: Extra"),
        (entry(STORY).replace("it is slow", ""), "entry.0.reason: String should have at least 5 characters"),
        (
            entry(STORY).replace("entered = ", "entered = 1 #"),
            "entry.0.entered: Input should be a valid date",
        ),
        (entry("tests/e2e"), "entry.0.test: String should match pattern"),
        (entry(STORY) * 6, "entry: List should have at most 5 items"),
        (entry(STORY, days=15), f"{STORY} ends more than 14 days after it was entered"),
        (entry(STORY, TODAY + timedelta(days=1)), f"{STORY} ends more than 14 days after it was entered"),
        (entry("tests/e2e/test_went.py"), "tests/e2e/test_went.py is not there"),
        (entry(f"{STORY}::test_went"), f"there is no test {STORY}::test_went"),
        (entry("tests/e2e/test_once.py"), "test_once.py::test_first is marked `once`"),
    ],
    ids=map(str, range(12)),
)
def test_a_quarantine_that_breaks_a_rule_is_red_at_once(
    gate: Any, tmp_path: Path, text: str, why: str
) -> None:
    code, said = gate({"fails": FAILS, "once": ONCE}, quarantine=text)
    assert code == 1
    assert any("quarantine.toml" in line and why in line for line in said), said
    assert not (tmp_path / "again").exists()


class TestAll:
    """`make test-all`: everything, once."""

    def test_green_is_written_down_for_the_gate_to_print(
        self, gate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SEED", "5")
        seeds = "import os\ndef test_it(): assert os.environ['SEED'] == os.environ['DRILL'] == '5'"
        monkeypatch.delenv("DRILL", raising=False)
        code, said = gate({"passes": PASSES}, quick=seeds, whole_run=True)
        assert (code, said[-1]) == (0, "3 passed, 0 failed")
        assert "to repeat: make test-all SEED=5" in said
        last = tomllib.loads((tmp_path / "tests" / "last_whole_run.toml").read_text())
        assert last == {"date": TODAY, "commit": git(tmp_path, "rev-parse", "HEAD"), "seed": "5"}
        assert f"last green `make test-all`: {TODAY}, {last['commit']}, SEED=5" in said

    def test_each_run_draws_a_seed(self, gate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SEED", raising=False)
        seeds = "import os\ndef test_it(): int(os.environ['SEED'])"
        code, said = gate({"passes": PASSES}, quick=seeds, whole_run=True)
        assert code == 0
        assert any(line.startswith("to repeat: make test-all SEED=") for line in said)

    @pytest.mark.parametrize(
        ("story", "settings", "why"),
        [
            (FLAKES, {}, "FAILED  tests/e2e/test_fails.py::test_it (call)"),
            ("import warnings\ndef test_it(): warnings.warn('old', stacklevel=1)", {}, "UserWarning: old"),
            ("", {}, "tests/e2e/test_fails.py: none of its tests ran"),
            (PASSES, {"floor": 4}, "3 tests passed, and at least 4 have to"),
            (
                PASSES,
                {"quarantine": entry(STORY, TODAY - timedelta(days=15))},
                f"error: {STORY} is in tests/quarantine.toml, which it had to leave on ",
            ),
        ],
        ids=["a flake", "a warning", "an empty story", "the floor", "an ended quarantine"],
    )
    def test_red(self, gate: Any, tmp_path: Path, story: str, settings: dict[str, Any], why: str) -> None:
        code, said = gate({"fails": story}, whole_run=True, **settings)
        assert code == 1
        assert any(why in line for line in said), said
        assert not (tmp_path / "tests" / "last_whole_run.toml").exists()
        assert "last green `make test-all`: there was none yet" in said

    def test_a_crash_is_red_and_the_run_ends(self, gate: Any) -> None:
        """Without ByFile.schedule, the worker that replaces the crashed one waits for ever."""
        code, said = gate({"fails": CRASHES}, whole_run=True, minutes=2)
        assert code == 1
        # If xdist writes to the worker at that moment, it fails itself: pytest ends with 3 and names no test.
        if "error: pytest ended with 3" not in said:
            assert "error: pytest ended with 1" in said
            assert any(line.startswith("FAILED  tests/e2e/test_fails.py::test_it (???)") for line in said)

    def test_a_quarantine_that_has_not_ended_does_not_decide(self, gate: Any) -> None:
        code, said = gate({"fails": FAILS}, whole_run=True, quarantine=entry(STORY))
        assert (code, said[-1]) == (0, "2 passed, 0 failed")

    def test_a_part_is_no_whole_run(self, gate: Any, tmp_path: Path) -> None:
        left_out = "import pytest\ndef pytest_collection_modifyitems(config, items):\n"
        left_out += "    config.hook.pytest_deselected(items=[items.pop()])\n"
        code, said = gate({"passes": PASSES}, whole_run=True, files={"tests/conftest.py": left_out})
        assert code == 0
        assert "last_whole_run.toml stays, because not all tests of a commit ran" in said
        assert not (tmp_path / "tests" / "last_whole_run.toml").exists()
