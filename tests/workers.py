"""Several files of tests at a time: most of a test on a host is waiting for that host.

`make test` and `make unit` start workers (pytest-xdist). A worker takes a whole file, whose tests share a
host that no other file uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from xdist.workermanage import WorkerController

HOSTED = "lab"
"""The fixture that every test with a host has."""


def uses_a_host(item: pytest.Item) -> bool:
    """Whether a test does."""
    return HOSTED in getattr(item, "fixturenames", ())


def arrange(items: list[pytest.Item]) -> None:
    """Sort files, so that at the end no worker is left alone with a long one.

    Those with a host come first, the ones of many tests before the others; what needs no host is short.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)

    def place(tests: list[pytest.Item]) -> tuple[bool, int]:
        return not any(uses_a_host(item) for item in tests), -len(tests)

    items[:] = [item for tests in sorted(files.values(), key=place) for item in tests]


class ByFile(LoadFileScheduling):
    """Gives a worker a whole file."""

    def remove_node(self, node: WorkerController) -> str | None:
        """Give what a worker that is gone had not finished to the others.

        xdist 3.8 gives out its finished files once more, too. A worker that is given one of them has nothing
        to run and asks for nothing more: a crash became a run that never ended.
        """
        files = self.assigned_work[node]
        for file in [file for file, tests in files.items() if all(tests.values())]:
            del files[file]
        return super().remove_node(node)
