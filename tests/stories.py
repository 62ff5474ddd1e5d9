"""A pytest plugin: which tests need a host, which of them `make test` runs, and in which order.

`make test` (tools/gate.py) runs all tests without a host, and of the others the stories of stories.toml.
A worker (pytest-xdist) takes a whole file, whose tests share a host that no other file uses.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from xdist.workermanage import WorkerController

LAB = "lab"
"""The fixture that every test with a host has."""
QUARANTINED = "quarantined"
HOSTED = "hosted"
"""The mark that such a test gets here. A test in tests/e2e has it too, as it needs the engine."""
TABLE = Path(__file__).with_name("stories.toml")
FILES = pytest.StashKey[set[str]]()
"""Where the files with such a test are noted, for tests about the tables."""


def known_seconds(in_part: Collection[str] = ()) -> dict[str, float]:
    """Return how long a file takes, for those that take long. Those `in_part` run only their story."""
    table = tomllib.loads(TABLE.read_text())
    stories = {
        file: story["seconds"] if file in in_part else story.get("whole", story["seconds"])
        for file, story in table["stories"].items()
    }
    return table["quick"] | table["others"] | stories


def is_hosted(item: pytest.Item) -> bool:
    """Return whether a test needs a host or the engine."""
    return (
        LAB in getattr(item, "fixturenames", ())
        or item.get_closest_marker("e2e") is not None
        or item.nodeid.startswith("tests/e2e/")
    )


def chosen(tests: list[pytest.Item], story: Mapping[str, Any]) -> list[pytest.Item]:
    """Return the tests of a file that belong to its story; stories.toml describes the keys.

    It ends `through` a test and does not pick, because each test goes on from what the one before it left.

    Raises:
        pytest.UsageError: the table names a test that is not there.
    """
    file = file_of(tests[0].nodeid)
    if only := story.get("only"):
        _need(file, only, lambda word: any(word in test.name for test in tests))
        tests = [test for test in tests if any(word in test.name for word in only)]
    if through := story.get("through"):
        functions = [test.name.partition("[")[0] for test in tests]
        _need(file, [through], functions.__contains__)
        tests = tests[: len(tests) - functions[::-1].index(through)]
    return tests


def _need(file: str, words: Iterable[str], there: Callable[[str], bool]) -> None:
    for word in words:
        if not there(word):
            _refuse(f"stories.toml: {file} has no test {word}")


def _refuse(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)  # noqa: T201 - xdist does not pass a worker's error on
    raise pytest.UsageError(message)


def put_in_quarantine(test: str, items: list[pytest.Item]) -> None:
    """Let a test fail without making the run red. `test` is a file, a test or one case of it.

    Raises:
        pytest.UsageError: its file has no such test, or the test is marked `once`.
    """
    held = [
        item for item in items if item.nodeid == test or item.nodeid.startswith((f"{test}::", f"{test}["))
    ]
    if not held and file_of(test) in by_file(items):
        _refuse(f"quarantine.toml: there is no test {test}")
    for item in held:
        if item.get_closest_marker("once"):
            _refuse(f"quarantine.toml: {item.nodeid} is marked `once`, so it always decides")
        item.add_marker(QUARANTINED)
        item.add_marker(pytest.mark.xfail(reason="quarantine", strict=False))


def file_of(nodeid: str) -> str:
    """Return the file of a test, from the root of the checkout."""
    return nodeid.partition("::")[0]


def by_file(items: Iterable[pytest.Item]) -> dict[str, list[pytest.Item]]:
    """Return the tests by file."""
    found: dict[str, list[pytest.Item]] = {}
    for item in items:
        found.setdefault(file_of(item.nodeid), []).append(item)
    return found


def arranged(items: Iterable[pytest.Item], seconds: Mapping[str, float]) -> list[pytest.Item]:
    """Sort files: those that take longest come first, so that no worker is left alone with a long one.

    Of the files without a known time, those with a host come first, and then those of many tests.
    """
    found = by_file(items)

    def place(file: str) -> tuple[float, bool, int]:
        return -seconds.get(file, 0), not any(map(is_hosted, found[file])), -len(found[file])

    order = sorted(found, key=place)
    return [item for file in order for item in found[file]]


class ByFile(LoadFileScheduling):
    """Gives a worker a whole file."""

    def remove_node(self, node: WorkerController) -> str | None:
        """Give what a worker that is gone had not finished to the others.

        xdist 3.8 gives out its finished files once more, too. A worker that is given one of them has nothing
        to run and asks for nothing more: a crash became a run that never ended.
        """
        units = self.assigned_work[node]
        for unit in [unit for unit, tests in units.items() if all(tests.values())]:
            del units[unit]
        return super().remove_node(node)

    def schedule(self) -> None:
        """Give each worker a second file, too, or the word that there is none.

        A worker begins a test when it knows the next one. xdist 3.8 gives a worker that replaces a crashed
        one a single file: if that has one test, the run never ends.
        """
        super().schedule()
        if self.collection:
            for node in self.nodes:
                self._reschedule(node)


class Record:
    """Writes a line of JSON about each failure, and at the end what ran and what was left out."""

    def __init__(self, config: pytest.Config, path: Path) -> None:
        """Write to `path`, which the gate reads. A worker writes nothing, and hands over what it left out."""
        self._worker = getattr(config, "workeroutput", None)
        self._path = path
        self._passed = 0
        self._ran: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._quarantined: dict[str, str] = {}

    def _write(self, **line: object) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _failed(self, report: pytest.TestReport | pytest.CollectReport, phase: str | None) -> None:
        crash = getattr(report.longrepr, "reprcrash", None)
        text = (crash.message if crash else str(report.longrepr)).strip()
        self._write(
            test=report.nodeid, phase=phase, once="once" in getattr(report, "keywords", ()),
            error=text.partition("\n")[0], load=round(os.getloadavg()[0], 1),
        )  # fmt: skip

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test that began or passed, and write down one that failed."""
        if self._worker is not None:
            return
        if report.failed:
            self._failed(report, report.when)
        skipped = report.skipped and not hasattr(report, "wasxfail")
        if QUARANTINED not in report.keywords:
            self._passed += report.when == "call" and report.passed
        elif not report.passed or report.nodeid not in self._quarantined:
            self._quarantined[report.nodeid] = (
                "skipped" if skipped else "passed" if report.passed else "failed"
            )
        self._ran[file_of(report.nodeid)] += report.when == "setup" and not skipped

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Write down a file that cannot be loaded."""
        if report.failed and self._worker is None:
            self._failed(report, "collect")

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Count what is left out."""
        self._left_out.update(file_of(item.nodeid) for item in items)
        if self._worker is not None:
            self._worker["left_out"] = dict(self._left_out)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take what a worker left out; each leaves out the same. One that crashed may name no test."""
        if error:
            self._write(test=node.gateway.id, phase="crash", once=False, error=str(error), load=0)
        self._left_out = getattr(node, "workeroutput", {}).get("left_out", self._left_out)

    def pytest_sessionfinish(self) -> None:
        """Write down the counts."""
        if self._worker is None:
            self._write(
                passed=self._passed, ran=self._ran, left_out=self._left_out, quarantined=self._quarantined
            )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the gate."""
    parser.addoption("--stories", metavar="TABLE", help="of the files in this table, run only their stories")
    parser.addoption("--whole", metavar="FILE", action="append", default=[], help="but run all of this file")
    parser.addoption("--quarantined", metavar="TEST", action="append", default=[], help="let it fail")
    parser.addoption("--record", metavar="FILE", help="write down failures and counts in this file")


def pytest_configure(config: pytest.Config) -> None:
    """Name the marks, and begin the record."""
    config.addinivalue_line("markers", f"{HOSTED}: needs a host or the engine; set where tests are collected")
    config.addinivalue_line(
        "markers", f"{QUARANTINED}: may fail for some days; set where tests are collected"
    )
    config.addinivalue_line("markers", "once: its failure is never tried again, such as a leak or a lock-out")
    if path := config.getoption("--record"):
        config.pluginmanager.register(Record(config, Path(path)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Give out whole files."""
    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)  # before pytest looks at -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests with a host, leave out what belongs to no story, and sort files for the workers."""
    for item in filter(is_hosted, items):
        item.add_marker(HOSTED)
    config.stash[FILES] = {file_of(item.nodeid) for item in filter(is_hosted, items)}
    for test in config.getoption("--quarantined"):
        put_in_quarantine(test, items)
    stories: dict[str, Any] = {}
    if table := config.getoption("--stories"):
        stories = tomllib.loads(Path(table).read_text())["stories"]
        for file in config.getoption("--whole"):
            stories.pop(file, None)
        items[:] = [
            item for file, tests in by_file(items).items() for item in chosen(tests, stories.get(file, {}))
        ]
    if hasattr(config, "workerinput"):
        items[:] = arranged(items, known_seconds(stories))
