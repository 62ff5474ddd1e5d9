"""Fixtures that every part of the suite may use, and how its files share a machine."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from tests import workers

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["lab.pytest_browser", "lab.pytest_lab"]


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Iterator[None]:
    """Give the workers of this run, if there are any, a folder that they all know."""
    with TemporaryDirectory(prefix="portcullis-tests-") as folder:
        config.stash[_FOLDER] = folder
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of it, before it starts."""
    node.workerinput["turns"] = node.config.stash[_FOLDER]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> workers.ByFile:
    """Give out whole files."""
    return workers.ByFile(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Let a worker share the lab with the others."""
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(workers.Turns(Path(config.workerinput["turns"])))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the files for several workers."""
    if hasattr(config, "workerinput"):
        workers.arrange(items)


_FOLDER = pytest.StashKey[str]()
