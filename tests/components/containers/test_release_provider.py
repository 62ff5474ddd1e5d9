"""Tests what the providers of releases and of containers' states tell Pulumi's engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi.output import Unknown

from portcullis.components.containers.resource.container_state import ContainerStateProvider
from portcullis.components.containers.resource.release import ReleaseProvider

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.canned import CannedChannel

URN = "urn:pulumi:lab::portcullis::portcullis:index:Release::api-release"
SECRET = "hunter2-and-more"
RELEASE = {
    "host": "web1", "managed_by": URN, "app": "api", "published": True, "cpus": "1",
    "defined_by": {"envs": f'["TOKEN={SECRET}"]', "image": '"a"'}, "container": "running",
}  # fmt: skip
STATE = {
    "host": "web1", "managed_by": URN, "item": "api", "container": "api-2", "container_id": "b",
    "image": "two", "pids": "256", "expects": "healthy", "within": "90", "status": "healthy",
}  # fmt: skip


def answers(**facts: Any) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    def answer(op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if op == "survey":
            return {"items": [{**item, "facts": facts} for item in arguments["items"]]}
        return {"facts": facts, "steps": []}

    return answer


def test_a_release_is_requested_with_a_new_token_and_without_its_definition(
    canned: Callable[..., CannedChannel],
) -> None:
    channel = canned(answers(exists=True, number=3, port=28002, container="absent"))
    made = ReleaseProvider().create(RELEASE)
    assert made.outs == {**RELEASE, "number": 3, "port": 28002}
    ReleaseProvider().update("web1:api", {**RELEASE, "number": 3.0, "port": 28002.0}, RELEASE)
    first, second = (sent["desired"] for op, sent in channel.sent if op == "put")
    assert first["token"] != second["token"]
    assert (first["after"], second["after"]) == (0, 3)
    assert set(first) == {"app", "published", "cpus", "numbered", "token", "after"}
    assert SECRET not in str(channel.sent)


def test_a_read_returns_number_port_and_the_fault_of_the_container(
    canned: Callable[..., CannedChannel],
) -> None:
    canned(answers(exists=True, number=3, port=28002, container="exited 137"))
    found = ReleaseProvider().read("web1:api", {**RELEASE, "number": 3.0, "port": 28002.0})
    assert found.inputs == {**RELEASE, "container": "exited 137"}
    assert found.outs == {**found.inputs, "number": 3, "port": 28002}


def test_the_state_keeps_number_and_port_if_the_host_lost_its_records(
    canned: Callable[..., CannedChannel],
) -> None:
    canned(answers(exists=False))
    found = ReleaseProvider().read("web1:api", {**RELEASE, "number": 3.0, "port": 28002.0})
    assert found.inputs == RELEASE
    assert found.outs == {**RELEASE, "number": 3.0, "port": 28002.0}


def test_the_definition_of_a_release_may_be_unknown_in_a_preview() -> None:
    news = {**RELEASE, "defined_by": {"labels": Unknown()}}
    checked = ReleaseProvider().check({}, news)
    assert checked.failures == []
    assert ReleaseProvider().diff("id", RELEASE, news).replaces == []


def test_the_state_and_not_the_host_remembers_the_previous_healthy_image(
    canned: Callable[..., CannedChannel],
) -> None:
    channel = canned(answers(exists=True, container_id="b", pids="256", status="healthy"))
    provider = ContainerStateProvider()
    assert provider.create(STATE).outs == {**STATE, "previous_image": ""}
    olds = {**STATE, "image": "one", "container": "api-1", "previous_image": "zero"}
    assert provider.update("id", olds, STATE).outs == {**STATE, "previous_image": "one"}
    same = provider.update("id", {**olds, "image": "two"}, STATE).outs
    assert same == {**STATE, "previous_image": "zero"}
    assert all("image" not in sent["desired"] for op, sent in channel.sent if op == "put")


def test_a_container_is_read_with_its_limit_and_status(canned: Callable[..., CannedChannel]) -> None:
    canned(answers(exists=True, container_id="b", pids="0", status="unhealthy"))
    found = ContainerStateProvider().read("id", {**STATE, "previous_image": "one"})
    assert found.inputs == {**STATE, "pids": "0", "status": "unhealthy"}
    assert found.outs == {**found.inputs, "previous_image": "one"}


def test_a_container_that_has_just_started_is_not_judged(canned: Callable[..., CannedChannel]) -> None:
    canned(answers(exists=True, container_id="b", pids="256", status="starting"))
    assert ContainerStateProvider().read("id", STATE).inputs == STATE


def test_a_job_that_has_ended_has_no_limit_and_no_difference(canned: Callable[..., CannedChannel]) -> None:
    job = {**STATE, "expects": "exited", "status": "exited 0"}
    canned(answers(exists=True, container_id="b", pids="", status="exited 0"))
    assert ContainerStateProvider().read("id", job).inputs == job


def test_a_container_that_is_gone_shows(canned: Callable[..., CannedChannel]) -> None:
    canned(answers(exists=False))
    assert ContainerStateProvider().read("id", STATE).inputs["status"] == "<absent>"


def test_another_container_does_not_replace_its_state() -> None:
    news = {**STATE, "container_id": Unknown(), "container": Unknown()}
    assert ContainerStateProvider().diff("id", STATE, news).replaces == []
