"""Fixtures that every part of the suite may use, and how its files share a machine."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from tests import drill, workers

pytest_plugins = ["lab.pytest_browser", "lab.pytest_lab"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> workers.ByFile:
    """Give out whole files."""
    return workers.ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the files for several workers."""
    if hasattr(config, "workerinput"):
        workers.arrange(items)


def pytest_report_header() -> str:
    """Say by which seed the changes by hand were drawn."""
    return drill.header()


def pytest_configure() -> None:
    """Collect garbage seldom: the collector took a fifth of the time of the quick tests."""
    gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish() -> None:
    """Let the collector pass over what is imported for good."""
    gc.collect()
    gc.freeze()
