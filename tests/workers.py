"""Several files of tests at a time: most of a test on a host is waiting for that host.

`make test` starts workers (pytest-xdist). A worker takes a whole file, whose tests share a host that no other
file uses. A file with the mark `alone` wants the lab for itself: while it runs, no other test uses a host,
and those that need none go on.
"""

from __future__ import annotations

import fcntl
import functools
from typing import IO, TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from xdist.workermanage import WorkerController

HOSTED = "lab"
"""The fixture that every test with a host has."""


def uses_a_host(item: pytest.Item) -> bool:
    """Whether a test does."""
    return HOSTED in getattr(item, "fixturenames", ())


def wants_it_alone(item: pytest.Item) -> bool:
    """Whether no other test may use a host while this one's file runs."""
    return item.get_closest_marker("alone") is not None


def arrange(items: list[pytest.Item]) -> None:
    """Sort files, so that workers seldom wait for each other: who wants the lab alone has it first.

    The other workers do meanwhile what needs no host. Then come those with a host, the long ones first:
    at the end no worker should be left alone with one of them.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)

    def place(tests: list[pytest.Item]) -> tuple[int, int]:
        if any(wants_it_alone(item) for item in tests):
            return 0, 0
        return 2 if any(uses_a_host(item) for item in tests) else 1, -len(tests)

    items[:] = [item for tests in sorted(files.values(), key=place) for item in tests]


class ByFile(LoadFileScheduling):
    """Gives a worker a whole file, and one worker all files that want the lab alone, one after the other.

    Two workers with such files would wait for each other.
    """

    def _split_scope(self, nodeid: str) -> str:
        """Return what is given to a worker as one."""
        file = super()._split_scope(nodeid)
        return "alone" if says_alone(self.config.rootpath / file) else file

    def remove_node(self, node: WorkerController) -> str | None:
        """Give what a worker that is gone had not finished to the others.

        xdist 3.8 gives out its finished files once more, too. A worker that is given one of them has nothing
        to run and asks for nothing more: a crash became a run that never ended.
        """
        files = self.assigned_work[node]
        for file in [file for file, tests in files.items() if all(tests.values())]:
            del files[file]
        return super().remove_node(node)


@functools.cache
def says_alone(file: Path) -> bool:
    """Whether a file has the mark, by its text: the process that gives out files has not imported them."""
    return "\npytestmark = pytest.mark.alone" in file.read_text()


class Turns:
    """A plugin of each worker: who uses the lab now. Two locked files tell the workers of each other.

    Whoever waits holds the door: nobody overtakes one who waits to be alone.
    """

    def __init__(self, folder: Path) -> None:
        """Keep the two files in a folder that every worker of this run knows."""
        self._door, self._room = folder / "door", folder / "room"
        self._held: IO[str] | None = None

    # First, and so around the others: the time limit of a test does not count what it waits here.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Let a test wait for its turn."""
        alone = wants_it_alone(item)
        if self._held is None and uses_a_host(item):
            with _locked(self._door, fcntl.LOCK_EX):
                self._held = _locked(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        try:
            return (yield)
        finally:
            stays = alone and nextitem is not None and nextitem.path == item.path
            if self._held and not stays:
                self._held.close()
                self._held = None


def _locked(path: Path, how: int) -> IO[str]:
    """Return the file, locked until it is closed."""
    file = path.open("a+")
    fcntl.flock(file, how)
    return file
