"""Fixtures that every part of the suite may use, and how its files share a machine."""

from __future__ import annotations

import gc
import signal

from tests import drill, official

pytest_plugins = ["lab.pytest_browser", "lab.pytest_lab", "tests.stories"]


def pytest_report_header() -> list[str]:
    """Say by which seed the changes by hand were drawn, and which plugins serve the tests with an engine."""
    return [drill.header(), *official.header()]


def pytest_configure() -> None:
    """Collect garbage seldom: the collector took a fifth of the time of the quick tests.

    A shell without job control starts us with SIGINT ignored. Programs that tests start would inherit that.
    """
    gc.set_threshold(50_000, 20, 50)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Let the collector pass over what is imported for good."""
    gc.collect()
    gc.freeze()
