"""Hosts and projects for tests with a program of their own, without Docker and without the demo."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lab.pytest_lab import Host


@pytest.fixture
def make_project(
    tmp_path: Path, module_host: Host, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Project]]:
    """Return a function that makes projects, each with a name that no other test has.

    The host knows its owners by project and stack: two tests of one name would be one owner.
    """
    made: list[Project] = []
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:60].strip("-")

    def make(host: Host = module_host) -> Project:
        name = f"{test}-{len(made)}" if made else test
        project = Project(tmp_path / name, host, name=name)
        made.append(project)
        return project

    yield make
    for project in made:
        project.close()


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """Return a fresh project for the file's host."""
    return make_project()
