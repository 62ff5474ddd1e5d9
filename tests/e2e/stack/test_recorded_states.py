"""The present code replaces and deletes no resource in the recorded states of releases. No host is needed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from portcullis import __version__
from portcullis.provider.base import import_kinds, kinds
from tests.e2e.stack import record_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.stack.program import Program

import_kinds()
RELEASES = sorted(folder.name for folder in record_state.STATES.iterdir())
# The harmless operations on a resource of a release. A deleted or replaced key would lose data or access.
HARMLESS = {"same", "update"}
CONTAINER = "docker:index/container:Container"
# The app moves from the shared networks of its stores to networks of its own.
MOVED = {"api-container": "replace"}


@pytest.fixture(params=RELEASES)
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    made = record_state.recorded(tmp_path / "program", request.param)
    yield made
    made.close()


def steps(stack: Program) -> list[dict[str, Any]]:
    """Return what an `up` of today would do to the resources of the state. What stays is left out."""
    said = stack.run("preview", "--refresh=false", "--json").output
    told = json.loads(said[said.index("{\n") : said.rindex("}") + 1])
    assert sum(told["changeSummary"].values()) >= 200
    return [step for step in told["steps"] if step["op"] != "same" and "oldState" in step]


def named(found: list[dict[str, Any]]) -> dict[str, str]:
    return {step["urn"].rpartition("::")[2]: step["op"] for step in found}


def containers(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [step for step in found if step["oldState"]["type"] == CONTAINER]


def test_todays_code_deletes_nothing_and_replaces_no_container_of_a_store(stack: Program) -> None:
    found = steps(stack)
    assert named([step for step in found if step["op"] not in HARMLESS]) == MOVED
    assert named(containers(found)) == MOVED
    (api,) = containers(found)
    assert "networksAdvanced" in api["replaceReasons"]


def test_a_property_with_another_name_is_no_difference(stack: Program) -> None:
    renamed = {kind.type_token(): kind() for kind in kinds().values() if kind.renamed}
    known = json.loads(stack.run("stack", "export").output)["deployment"]["resources"]
    former = {one["type"] for one in known if one["type"] in renamed and "strangers" in one["inputs"]}
    assert former == {*renamed}
    for step in steps(stack):
        kind = renamed.get(step["oldState"]["type"])
        sides = step["oldState"]["inputs"], step["newState"]["inputs"]
        assert kind is None or kind.by_present_names(sides[0]) != sides[1], step["urn"]


def test_a_check_of_the_processor_leaves_the_state_and_touches_no_container(
    stack: Program, tmp_path: Path
) -> None:
    state = json.loads(stack.run("stack", "export").output)
    known = state["deployment"]["resources"]
    (root,) = [one for one in known if one["type"] == "portcullis:index:MongoRoot"]
    inputs = {"host": root["inputs"]["host"], "program": "mongo", "features": {"avx": "present"}}
    urn = root["urn"].replace("MongoRoot::mongo-root", "Cpu::mongo-cpu")
    known.append({**root, "urn": urn, "type": "portcullis:index:Cpu", "inputs": inputs, "outputs": inputs})
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps(state))
    stack.run("stack", "import", "--file", str(edited))
    found = steps(stack)
    assert named([step for step in found if step["op"] not in HARMLESS]) == MOVED | {"mongo-cpu": "delete"}
    assert named(containers(found)) == MOVED


def test_an_own_number_of_open_files_replaces_its_container_and_what_the_host_allows_none(
    stack: Program, tmp_path: Path
) -> None:
    """Mongo was created with the number. In this preview, the host's limit is unknown: it may be any."""
    stack.set("stores.redis", nofile=4096)
    stack.set("stores.mongo", nofile=4096)
    state = json.loads(stack.run("stack", "export").output)
    (mongo,) = [
        one
        for one in state["deployment"]["resources"]
        if one["urn"].endswith(f"{CONTAINER}::mongo-container")
    ]
    for values in (mongo["inputs"], mongo["outputs"]):
        values["labels"].append({"label": "portcullis.nofile", "value": "4096"})
        values["ulimits"].append({"name": "nofile", "soft": 4096, "hard": 4096})
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps(state))
    stack.run("stack", "import", "--file", str(edited))
    found = containers(steps(stack))
    assert named(found) == MOVED | {"redis-container": "replace"}
    (container,) = [step for step in found if step["urn"].endswith("::redis-container")]
    assert container["replaceReasons"] == ["labels"]
    # The new container gets the limit, although a container that stays keeps its own.
    assert [one["name"] for one in container["newState"]["inputs"]["ulimits"]] == ["core", "nofile"]


def test_the_present_version_has_its_state_recorded() -> None:
    assert __version__ in RELEASES, "run `make record-state`, and commit it with the release"


@pytest.mark.once
def test_a_state_has_no_code_no_address_and_no_secret_in_clear() -> None:
    for release in RELEASES:
        text = (record_state.STATES / release / record_state.STATE_FILE).read_text()
        assert "pulumi-python" not in text, "the state has a pickled dynamic provider"
        assert "BEGIN PRIVATE KEY" not in text
        assert "recorded-and-nobodys" not in text
