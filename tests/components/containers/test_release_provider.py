"""Releases and the state of containers, as the engine sees them."""

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


def test_a_release_is_asked_for_with_a_token_of_its_own_and_without_what_it_is_made_of(
    canned: Callable[..., CannedChannel],
) -> None:
    channel = canned(answers(exists=True, number=3, port=28002, container="absent"))
    made = ReleaseProvider().create(RELEASE)
    assert made.outs == {**RELEASE, "number": 3, "port": 28002}
    ReleaseProvider().update("web1:api", {**RELEASE, "number": 3.0, "port": 28002.0}, RELEASE)
    first, second = (sent["desired"] for op, sent in channel.sent if op == "put")
    assert first["token"] != second["token"]
    assert (first["after"], second["after"]) == (0, 3)
    assert set(first) == {"app", "published", "cpus", "token", "after"}
    assert SECRET not in str(channel.sent)


def test_a_release_reads_number_and_port_and_what_is_wrong_with_its_container(
    canned: Callable[..., CannedChannel],
) -> None:
    canned(answers(exists=True, number=3, port=28002, container="exited 137"))
    found = ReleaseProvider().read("web1:api", {**RELEASE, "number": 3.0, "port": 28002.0})
    assert found.inputs == {**RELEASE, "container": "exited 137"}
    assert found.outs == {**found.inputs, "number": 3, "port": 28002}


def test_a_host_that_lost_its_records_leaves_number_and_port_to_the_state(
    canned: Callable[..., CannedChannel],
) -> None:
    canned(answers(exists=False))
    found = ReleaseProvider().read("web1:api", {**RELEASE, "number": 3.0, "port": 28002.0})
    assert found.inputs == RELEASE
    assert found.outs == {**RELEASE, "number": 3.0, "port": 28002.0}


def test_what_defines_a_release_may_be_unknown_in_a_preview() -> None:
    news = {**RELEASE, "defined_by": {"labels": Unknown()}}
    checked = ReleaseProvider().check({}, news)
    assert checked.failures == []
    assert ReleaseProvider().diff("id", RELEASE, news).replaces == []


def test_the_image_that_got_well_before_is_remembered_here_and_not_on_the_host(
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


def test_one_that_has_just_started_is_not_judged(canned: Callable[..., CannedChannel]) -> None:
    canned(answers(exists=True, container_id="b", pids="256", status="starting"))
    assert ContainerStateProvider().read("id", STATE).inputs == STATE


def test_a_job_that_ended_has_no_limit_to_differ(canned: Callable[..., CannedChannel]) -> None:
    job = {**STATE, "expects": "exited", "status": "exited 0"}
    canned(answers(exists=True, container_id="b", pids="", status="exited 0"))
    assert ContainerStateProvider().read("id", job).inputs == job


def test_a_container_that_is_gone_shows(canned: Callable[..., CannedChannel]) -> None:
    canned(answers(exists=False))
    assert ContainerStateProvider().read("id", STATE).inputs["status"] == "<absent>"


def test_another_container_is_no_replacement_of_its_state() -> None:
    news = {**STATE, "container_id": Unknown(), "container": Unknown()}
    assert ContainerStateProvider().diff("id", STATE, news).replaces == []
