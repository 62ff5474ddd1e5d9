"""The gate, `make test`: quick tests, then the stories of tests/stories.toml on hosts. Docs: docs/tests.md.

`make test` is red only if the product or a test is wrong. So a file with a host that failed runs once more,
alone and on a fresh host. If it passes then, the gate prints it as FLAKY. It prints NOT RUN for what did not.
`make test-all` runs all tests once.

    python -m tools.gate [--all] [options for pytest]
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tools import engine, impact, quarantine
from tools.steps import ROOT, StepError, ask, cache, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MINUTES = 60
"""When a run is given up. CI allows 90 with all preparations, and the run has to say what failed."""
MINUTES_OF_ALL = 240
AGAIN = 3
"""How many files may be tried again. One more is no chance any more."""
WORKERS = 3
BUDGET = 160 * WORKERS
"""What the change touches besides the stories may take so many seconds of the workers."""
_HUNG = re.compile(r"Timeout \(>|did not end within")
"""What pytest-timeout says of a test, and tests/e2e/project.py of a command of the engine."""
_LAST = "# The last green `make test-all`, which writes this file. `make test` prints it."


@dataclass(slots=True)
class Run:
    """What one run of pytest wrote down."""

    code: int
    failures: list[dict[str, Any]] = field(default_factory=list)
    passed: int = 0
    ran: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    quarantined: dict[str, str] = field(default_factory=dict)

    def files(self) -> list[str]:
        """Return the files with a failure."""
        return list(dict.fromkeys(failure["test"].partition("::")[0] for failure in self.failures))

    def verdict(self) -> str:
        """Return why the gate is red without another try, or nothing."""
        if self.code not in (0, 1) or (self.code == 1 and not self.failures):
            return f"pytest ended with {self.code}"
        for failure in self.failures:
            if failure["phase"] not in {"setup", "call", "teardown"}:
                return f"{failure['test']}: its process crashed, or its file cannot be loaded"
            if _HUNG.search(failure["error"]):
                return f"{failure['test']} hung: {failure['error']}"
            if failure["once"] and failure["phase"] == "call":
                return f"{failure['test']} is marked `once`: what it found is never tried again"
        if len(self.files()) > AGAIN:
            return f"more than {AGAIN} files failed"
        return ""


class Gate:
    """One run of the gate over the tests of a checkout."""

    def __init__(
        self,
        root: Path,
        options: list[str],
        *,
        kept: Path,
        minutes: float = MINUTES,
        workers: int = WORKERS,
        today: date | None = None,
        engine: Callable[[float], Mapping[str, str]] = lambda _: {},
    ) -> None:
        """`options` go to pytest, and `kept` is the file that remembers flaky tests.

        `engine` is what `engine_beside` gives.
        """
        self._root = root
        self._options = options
        self._engine = engine
        self._kept = kept
        self._minutes = minutes
        self._beside = f"--numprocesses={workers}"
        self._deadline = time.monotonic() + 60 * minutes
        self._table = root / "tests" / "stories.toml"
        self._settings = tomllib.loads(self._table.read_text())
        self._whole: list[str] = []
        self._why_not: dict[str, str] = {}
        self._passed = 0
        self._flaky: list[str] = []
        self._last = root / "tests" / "last_whole_run.toml"
        self._today = today or datetime.now(UTC).date()
        self._quarantine: list[quarantine.Entry] = []
        self._quarantined: dict[str, str] = {}
        self._environment = dict(os.environ)
        self._times: list[str] = []

    def run(self) -> None:
        """Run what `make test` runs, and exit.

        Raises:
            SystemExit: with 0 if it is green. The last lines say why it is red.
        """
        self._read_quarantine()
        self._environment.pop("SEED", None)
        quick = self._pytest("quick", "tests", "-m", "not hosted", self._beside, "--maxfail=5")
        if quick.code != 0 or quick.failures:
            print("NOT RUN  no test with a host, because the quick tests failed")
            self._red(f"pytest ended with {quick.code}", quick)
        try:
            self._environment |= self._engine(max(1, self._deadline - time.monotonic()))
        except StepError as error:
            self._red(str(error))
        self._choose()
        files = list(dict.fromkeys([*self._settings["stories"], *self._whole]))
        stories = self._pytest("stories", *files, *self._only(), self._beside)
        self._passed = quick.passed + stories.passed
        for file, tests in sorted(quick.left_out.items()):
            if not_run := tests - stories.ran[file]:
                print(f"NOT RUN  {file}: {not_run} of {tests} tests{self._why_not.get(file, '')}")
        if verdict := stories.verdict():
            self._red(verdict, stories)
        for file in files:
            if not stories.ran[file]:
                self._red(f"{file}: none of its tests with a host ran")
        for file in stories.files():
            # It begins from a new snapshot, too: the last one may be the cause (lab/snapshots.py).
            self._environment["LAB_SNAPSHOTS"] = f"{file} {os.getpid()}"
            again = self._pytest("again", file, *self._only(), "--numprocesses=0")
            if again.code != 0 or again.passed + len(again.quarantined) < stories.ran[file]:
                self._red(f"{file} failed twice", again)
            mended = [failure for failure in stories.failures if failure["test"].startswith(f"{file}::")]
            self._passed += len({failure["test"] for failure in mended if failure["phase"] != "teardown"})
            self._remember(mended[0])
        self._check_floor()
        self._close(0)

    def run_all(self) -> None:
        """Run what `make test-all` runs, nothing of it twice, and exit. `SEED` repeats what a run has drawn.

        Raises:
            SystemExit: with 0 if it is green. The last lines say why it is red.
        """
        self._read_quarantine()
        seed = os.environ.get("SEED") or str(random.randrange(10**6))  # noqa: S311 - nothing is secret
        print(f"to repeat: make test-all SEED={seed}", flush=True)
        # It draws the changes by hand, the rounds of tests/e2e/torture, and the examples of tests/fuzz.
        self._environment |= {"DRILL": os.environ.get("DRILL") or seed, "SEED": seed}
        commit, differs = self._git("rev-parse", "HEAD"), self._git("status", "--porcelain")
        drawn = f"--hypothesis-seed={seed}"
        run = self._pytest("all", "tests", "-W", "error", self._beside, drawn)
        self._passed = run.passed
        if run.code or run.failures:
            self._red(f"pytest ended with {run.code}", run)
        for file in self._settings["stories"]:
            if not run.ran[file]:
                self._red(f"{file}: none of its tests ran")
        self._check_floor()
        for entry in self._quarantine:
            if entry.ends < self._today:
                self._red(f"{entry.test} is in {quarantine.FILE}, which it had to leave on {entry.ends}")
        if run.left_out or differs or commit != self._git("rev-parse", "HEAD"):
            print(f"{self._last.name} stays, because not all tests of a commit ran")
        else:
            self._last.write_text(f'{_LAST}\ndate = {self._today}\ncommit = "{commit}"\nseed = "{seed}"\n')
            print(f"all is green: commit tests/{self._last.name}")
        self._close(0)

    def _git(self, *words: str) -> str:
        answer = ask(["git", *words], cwd=self._root)
        return answer.stdout.strip() or answer.stderr.strip()

    def _read_quarantine(self) -> None:
        try:
            self._quarantine = quarantine.load(self._root, self._today)
        except ValueError as error:
            self._red(str(error))

    def _check_floor(self) -> None:
        if self._passed < (floor := self._settings["floor"]):
            self._red(f"{self._passed} tests passed, and at least {floor} have to (tests/{self._table.name})")

    def _choose(self) -> None:
        """Choose which files run as a whole because the change touches them, in the order of `touched`."""
        seconds = dict(self._settings.get("others", {}))
        for file, story in self._settings["stories"].items():
            if "whole" in story:
                seconds[file] = story["whole"] - story["seconds"]
        try:
            paths = impact.changed(self._root)
            table = tomllib.loads((self._root / "tests" / "impact.toml").read_text())
            touched = {
                file: f"{path} changed" for file, path in impact.touched(paths, table, seconds).items()
            }
            print(f"{len(paths)} paths changed since the last landing")
        except impact.NoBaseError as error:
            print(f"{error}. So every file with hosts counts as touched.")
            touched = dict.fromkeys(sorted(seconds, key=lambda file: seconds[file]), "no usable base")
        left = BUDGET
        for file in touched:
            if file in self._settings.get("nightly", ()):
                self._why_not[file] = f" ({touched[file]}; it depends on the mirrors of the day)"
            elif seconds[file] > left:
                self._why_not[file] = f" ({touched[file]}; its {seconds[file]} s do not fit)"
            else:
                left -= seconds[file]
                self._whole.append(file)
                print(f"TOUCHED  {file} runs as a whole ({touched[file]})")

    def _only(self) -> list[str]:
        return ["-m", "hosted", "--stories", str(self._table), *(f"--whole={file}" for file in self._whole)]

    def _pytest(self, phase: str, *arguments: str) -> Run:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            record = Path(folder) / "record"
            argv = [sys.executable, "-m", "pytest", *arguments, "--dist=loadfile", "--no-loadscope-reorder"]
            argv += [f"--quarantined={entry.test}" for entry in self._quarantine]
            argv += ["--record", str(record), *self._options]
            run = Run(self._waited(subprocess.Popen(argv, cwd=self._root, env=self._environment)))
            for line in map(json.loads, record.read_text().splitlines() if record.exists() else ()):
                if "test" in line:
                    run.failures.append(line)
                else:
                    run.passed = line["passed"]
                    run.ran.update(line["ran"])
                    run.left_out.update(line["left_out"])
                    run.quarantined = line["quarantined"]
        self._quarantined |= run.quarantined
        self._times.append(f"{phase} {time.monotonic() - began:.0f} s")
        return run

    def _waited(self, pytest: subprocess.Popen[bytes]) -> int:
        """Return its exit code. It gets an interrupt, so that it prints its failures, when the time is up."""
        try:
            return pytest.wait(max(1, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            print(f"error: the gate took longer than {self._minutes} minutes, so it ends pytest", flush=True)
            pytest.send_signal(signal.SIGINT)
        except KeyboardInterrupt:  # the terminal has told pytest, too
            pytest.wait()
            raise SystemExit(128 + signal.SIGINT) from None
        try:
            pytest.wait(120)
        except subprocess.TimeoutExpired:
            pytest.kill()
        return 124

    def _remember(self, failure: dict[str, Any]) -> None:
        self._flaky.append(
            f"FLAKY  {failure['test']} (first: {failure['error']}; load {failure['load']}; "
            f"passed alone, {self._times[-1]})"
        )
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._kept.open("a") as file:
            file.write(json.dumps({"when": now, **failure}) + "\n")

    def _red(self, why: str, run: Run | None = None) -> NoReturn:
        for failure in run.failures if run else ():
            print(f"FAILED  {failure['test']} ({failure['phase']}): {failure['error']}")
        print(f"error: {why}")
        self._close(max(1, len(run.failures) if run else 1))

    def _close(self, failed: int) -> NoReturn:
        for line in self._flaky:
            print(line)
        for entry in self._quarantine:
            found = Counter(result for test, result in self._quarantined.items() if entry.holds(test))
            told = ", ".join(f"{count} {result}" for result, count in sorted(found.items())) or "did not run"
            print(f"QUARANTINE  {entry.test}: {told}; until {entry.ends} ({entry.reason}; {entry.issue})")
            if entry.ends < self._today:
                print(f"QUARANTINE ENDED  {entry.test}: `make test-all` is red until it leaves the list")
        last = tomllib.loads(self._last.read_text()) if self._last.exists() else {}
        told = f"{last['date']}, {last['commit']}, SEED={last['seed']}" if last else "there was none yet"
        print(f"last green `make test-all`: {told}")
        print(f"{', '.join(self._times)}, load {' '.join(f'{load:.1f}' for load in os.getloadavg())}")
        print(f"{self._passed} passed, {failed} failed", flush=True)
        raise SystemExit(1 if failed else 0)


def main(options: list[str]) -> None:
    """Run the command line."""
    kept = cache() / "flaky.jsonl"
    if options[:1] == ["--all"]:
        Gate(ROOT, options[1:], kept=kept, minutes=MINUTES_OF_ALL).run_all()
    argv = [sys.executable, str(ROOT / "tools" / "engine.py"), "ensure"]
    with engine_beside(argv) as wait:
        Gate(ROOT, options, kept=kept, engine=wait).run()


@contextmanager
def engine_beside(argv: list[str]) -> Iterator[Callable[[float], Mapping[str, str]]]:
    """Build Pulumi's engine with `argv`, beside the quick tests, if this machine has none.

    The given function waits so many seconds for it and returns the variables of the tests with a host. It
    raises a StepError.
    """
    ready = engine.find()
    if ready is not None:
        yield lambda _: engine.environment(ready)
        return
    with (
        tempfile.TemporaryFile() as told,
        subprocess.Popen(argv, stdout=told, stderr=told, start_new_session=True) as building,
    ):

        def wait(seconds: float) -> Mapping[str, str]:
            say("==> waiting for Pulumi's engine, whose build began before the quick tests")
            try:
                code = building.wait(seconds)
            except subprocess.TimeoutExpired:
                raise StepError("Pulumi's engine is not built yet, and the time of the gate is up") from None
            built = engine.find()
            if code or built is None:
                told.seek(0)
                raise StepError(told.read().decode(errors="replace").rpartition("\nerror: ")[2].strip())
            return engine.environment(built)

        try:
            yield wait
        finally:
            with suppress(ProcessLookupError):
                os.killpg(building.pid, signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])
