"""Fixtures for the tests on hosts: a host with the usual settings, and projects with their own programs."""

from __future__ import annotations

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
def make_deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Program]]:  # noqa: ARG001
    """Return a function that returns a deployed program, "hello" or "shop", on a host of its own.

    The host has booted since the deployment. It is removed after the file of tests.
    """
    made: list[Program] = []

    def make(kind: str) -> Program:
        folder = tmp_path_factory.mktemp("deployed") / "program"
        made.append(deployed_host.copy(kind, folder, lease=this_process()))
        return made[-1]

    yield make
    try:
        for program in made:
            program.close()
    finally:
        machine.down([program.host.name for program in made], Progress(), lease=this_process())


@pytest.fixture(scope="module")
def deployed(make_deployed: Callable[[str], Program]) -> Program:
    """Return the program with the usual settings, deployed to a host that no other test file uses."""
    return make_deployed("hello")


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
