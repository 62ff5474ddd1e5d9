"""Portcullis may use an engine that it does not manage.

It reads the version, and says whether it can use the engine.
"""

from __future__ import annotations

import dataclasses
import re
import socket
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from lab.plugins.docker_plugin.engine import NEWEST_API
from portcullis.agent.errors import AgentError
from portcullis.agent.store import Store
from portcullis.components.docker import versions
from portcullis.components.docker.facts import EngineDesired, EngineFacts
from portcullis.components.docker.on_host import Engines
from portcullis.components.docker.resource import EngineVersionProvider
from portcullis.dialect import DIALECTS
from portcullis.provider.changes import Change, Severity
from tests.components.containers import docker_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portcullis.agent.machine import Machine

CLIENT = versions.CLIENT
DESIRED = EngineDesired("shop/prod/docker", versions.OLDEST, CLIENT.api_from, CLIENT.api_to, CLIENT.name)
# The oldest and newest API of each release: https://docs.docker.com/reference/api/engine/#api-version-matrix.
RELEASES = {
    "20.10.24": ("1.12", "1.41"), "24.0.9": ("1.12", "1.43"), "26.1.5": ("1.24", "1.45"),
    "28.5.2": ("1.24", "1.51"), "29.0.4": ("1.44", "1.52"), "29.8.2": ("1.40", "1.56"),
}  # fmt: skip
# As a kernel 6.1 prints it: proc_pid_limits(5).
LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units     \n\
Max core file size        0                    unlimited            bytes     \n\
Max open files            1024                 524288               files     \n\
Max locked memory         8388608              8388608              bytes     \n\
"""


@pytest.fixture
def kind(machine: Machine, store_root: Path) -> Engines:
    docker = store_root / "docker.sock"
    host = dataclasses.replace(machine, docker=docker, proc=store_root / "proc")
    return Engines(host, Store(store_root / "store"))


@pytest.fixture
def docker(store_root: Path) -> Iterator[docker_engine.Engine]:
    with docker_engine.listening(store_root / "docker.sock") as engine:
        yield engine


@pytest.fixture
def store_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


def facts(kind: Engines, desired: EngineDesired = DESIRED) -> EngineFacts:
    (found,) = kind.facts([(desired.spec(), None)])
    if isinstance(found, AgentError):
        raise found
    return found


def says(version: str, oldest: str, newest: str) -> dict[str, Any]:
    return {"Version": version, "ApiVersion": newest, "MinAPIVersion": oldest}


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_since_the_oldest_supported_one_is_accepted(
    release: str, kind: Engines, docker: docker_engine.Engine
) -> None:
    docker.version = says(release, *RELEASES[release])
    found = facts(kind)
    assert found.version == release
    if release == "20.10.24":
        why = "Docker 20.10.24 on the host is too old: the oldest that we support is 24.0"
        assert found.unusable == why
        assert [step.have for step in kind.plan(DESIRED, found)] == [why]
        refusal = kind.obstacle(DESIRED, found)
        assert refusal is not None
        assert refusal.code == "invalid"
        assert "which-versions-will-do" in refusal.hint
        # If the stack writes no daemon.json, only the API has to fit.
        assert facts(kind, dataclasses.replace(DESIRED, engine=versions.ANY)).unusable == ""
    else:
        assert (kind.plan(DESIRED, found), kind.obstacle(DESIRED, found)) == ([], None)


@pytest.mark.parametrize(
    ("oldest", "newest", "fits"),
    [("1.24", "1.40", True), ("1.24", "1.39", False), ("1.51", "1.60", True), ("1.52", "1.60", False)],
)
def test_an_engine_whose_api_the_client_does_not_speak_is_refused(
    kind: Engines, docker: docker_engine.Engine, oldest: str, newest: str, *, fits: bool
) -> None:
    docker.version = says("31.0.0", oldest, newest)
    if fits:
        assert facts(kind).unusable == ""
        return
    words = (
        "the docker plugin 5.x of Pulumi cannot talk to Docker 31.0.0 on the host: the plugin speaks "
        f"the versions 1.40 to 1.51 of Docker's API, and the host speaks {oldest} to {newest}"
    )
    with pytest.raises(AgentError, match=re.escape(words)) as caught:
        facts(kind)
    assert "which-versions-will-do" in caught.value.hint


@pytest.mark.parametrize(
    ("limits", "open_files"),
    [
        (LIMITS, 524288),
        (LIMITS.replace("524288   ", "unlimited"), 0),
        (LIMITS.replace("524288", "524288" * 9), 0),
        ("\xff", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_no_process_may_open_more_files_than_the_first_one(
    kind: Engines, docker: docker_engine.Engine, store_root: Path, limits: str | None, open_files: int
) -> None:
    docker.version = says("29.8.2", "1.40", "1.56")
    if limits is not None:
        (store_root / "proc" / "1").mkdir(parents=True)
        (store_root / "proc" / "1" / "limits").write_text(limits, "latin-1")
    found = facts(kind)
    assert found.open_files == open_files
    assert kind.plan(DESIRED, found) == []


def test_another_limit_of_open_files_is_no_difference() -> None:
    assert "open_files" in EngineVersionProvider.chosen
    assert "open_files" not in EngineVersionProvider.live


def test_a_docker_that_does_not_answer_is_no_error_because_the_same_up_may_start_it(
    kind: Engines,
) -> None:
    place = kind._machine.docker
    with socket.socket(socket.AF_UNIX) as refusing:
        refusing.bind(str(place))
    found = facts(kind)
    assert found.unusable == "Docker does not answer on the host: Connection refused"
    assert kind.obstacle(DESIRED, found).code == "no-docker"


def test_a_host_without_docker(kind: Engines) -> None:
    found = facts(kind)
    assert found.unusable == "no Docker runs on the host"
    assert kind.obstacle(DESIRED, found).code == "no-docker"


@pytest.mark.parametrize(
    "said", [[], {"Version": "29"}, says("\x1b[31m", "1.40", "1.56"), says("9" * 99, "1", "1")]
)
def test_an_answer_without_a_version_is_unreadable(
    kind: Engines, docker: docker_engine.Engine, said: object
) -> None:
    docker.version = said
    with pytest.raises(AgentError, match="Docker's answer has no usable version"):
        facts(kind)


def test_the_suffix_of_a_version_is_ignored(kind: Engines, docker: docker_engine.Engine) -> None:
    docker.version = says("29.9.0-rc.1+dfsg1", "1.40", "1.56")
    assert facts(kind).version == "29.9.0"


def test_the_report_says_why_the_engine_cannot_be_used() -> None:
    live, goal = {"unusable": "no Docker runs on the host"}, {"unusable": ""}
    change = Change("EngineVersion", "web1-docker-version", "update", goal, live, goal)
    (line,) = EngineVersionProvider().lines(change)
    assert (line.subject, line.what, line.severity) == (
        "Docker", "no Docker runs on the host", Severity.WRONG,
    )  # fmt: skip


def test_the_api_versions_are_those_of_the_required_plugin() -> None:
    assert f" {version('pulumi-docker').partition('.')[0]}.x " in CLIENT.name
    assert ".".join(map(str, NEWEST_API)) == CLIENT.api_to


@pytest.mark.parametrize("os", DIALECTS)
def test_each_source_gives_its_version_of_docker(os: str) -> None:
    found: dict[versions.Source, str] = {"debian": DIALECTS[os].docker, "docker": "29.0", "present": "24.0"}
    assert {source: versions.dialect(os, source).docker for source in found} == found


def test_two_stacks_may_check_the_same_engine() -> None:
    assert dataclasses.replace(DESIRED, asks="shop/test/docker").id != DESIRED.id
