"""Fixtures for the tests on hosts: a host with the usual settings, and projects with their own programs."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from lab import machine
from lab.processes import this_process
from lab.shell import Progress
from tests.e2e.project import Project
from tests.e2e.stack import deployed as deployed_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lab.pytest_lab import Host, Lab
    from tests.e2e.stack.program import Program


@pytest.fixture(scope="module")
def deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:  # noqa: ARG001
    """Return the program with the usual settings, deployed to a host that no other test file uses.

    The host has booted since the deployment.
    """
    base = tmp_path_factory.getbasetemp()
    # Each worker has its own folder. Their common parent is for all workers.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = deployed_host.copy(tmp_path_factory.mktemp("deployed") / "program", shared, this_process())
    yield made
    made.close()
    machine.down([made.host.name], Progress(), lease=this_process())


@pytest.fixture
def make_project(
    tmp_path: Path, module_host: Host, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Project]]:
    """Return a function that makes projects, each with a name that no other test has.

    A host identifies the owner of a resource by project and stack, so two projects need different names.
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
    """Return a new project for the host of the test file."""
    return make_project()
