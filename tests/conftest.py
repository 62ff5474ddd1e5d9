"""Fixtures for all tests, and how the test files are divided among several workers."""

from __future__ import annotations

import gc
import os
import signal

# Some tests fork a process that has used gRPC. Its handlers for forks abort the new process.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

# The whole SDK, before lab/plugins/protocol.py puts empty packages in its place.
import pulumi  # noqa: F401

from tests import drill, official

pytest_plugins = ["lab.pytest_browser", "lab.pytest_lab", "tests.stories"]


def pytest_report_header() -> list[str]:
    """Return the seed that chooses the changes by hand, and the Pulumi plugins that the tests use."""
    return [drill.header(), *official.header()]


def pytest_configure() -> None:
    """Collect garbage seldom: the collector took a fifth of the time of the quick tests.

    A shell without job control starts us with SIGINT ignored. Programs that tests start would inherit that.
    """
    gc.set_threshold(50_000, 20, 50)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Exclude all imported modules from garbage collection: they stay until the end."""
    gc.collect()
    gc.freeze()
