from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.agent.operations import os_name, resource
from tests.on_host import URN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.on_host import Client, FileClient


def test_one_survey_answers_for_the_whole_stack_and_for_requested_items(
    motd: FileClient, client: Client, etc: Path
) -> None:
    motd.put()
    folder = str(etc / "app")
    client.on("put", "directory", folder, {"path": folder})
    asked = {"kind": "file", "id": str(etc / "x"), "spec": {"path": str(etc / "x")}}
    result = client.ask("survey", items=[asked])
    found = {(item["kind"], item["id"]): item["facts"]["exists"] for item in result["items"]}
    assert found == {
        ("file", str(motd.path)): True,
        ("directory", folder): True,
        ("file", asked["id"]): False,
    }
    assert set(result["host"]) == {"os", "kernel", "python", "hostname"}


def test_resources_of_another_stack_are_not_in_the_answer(motd: FileClient) -> None:
    motd.put()
    assert motd.again(stack="web/staging").client.ask("survey", items=[])["items"] == []


def test_without_the_index_only_requested_items_are_answered(motd: FileClient) -> None:
    motd.put()
    assert motd.client.ask("survey", items=[], index=False)["items"] == []


def test_a_requested_item_wins_over_its_record_and_keeps_its_revision(motd: FileClient) -> None:
    revision = motd.put()["facts"]["revision"]
    spec = {"path": str(motd.path)}
    (found,) = motd.client.ask("survey", items=[{"kind": "file", "id": str(motd.path), "spec": spec}])[
        "items"
    ]
    assert found["spec"] == spec
    assert found["facts"]["revision"] == revision


def test_facts_have_no_private_fields(motd: FileClient) -> None:
    motd.put()
    assert set(motd.facts()) == {
        "exists",
        "content",
        "owner",
        "group",
        "owner_id",
        "group_id",
        "mode",
        "revision",
    }


def test_a_survey_leaves_no_trace(client: Client, tmp_path: Path, etc: Path) -> None:
    client.ask("survey", items=[{"kind": "file", "id": str(etc / "x"), "spec": {"path": str(etc / "x")}}])
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "run").exists()


def test_the_operating_system_has_the_name_that_settings_use() -> None:
    assert os_name(["ID=debian", 'VERSION_ID="13"']) == "debian-13"
    assert os_name(["ID=ubuntu", 'VERSION_ID="24.04"']) == "ubuntu-24.04"
    assert os_name(["ID=debian", "VERSION_CODENAME=forky"]) == "debian-forky"
    assert os_name([]) == "unknown-unknown"


def test_the_name_of_an_owner_is_the_end_of_its_urn() -> None:
    assert resource(URN) == 'File "motd"'
    assert resource("by hand") == "by hand"


def test_a_malformed_spec_is_an_error_of_its_resource_alone(motd: FileClient) -> None:
    motd.put("hello\n")
    good = {"kind": "file", "id": str(motd.path), "spec": {"path": str(motd.path)}}
    bad = {"kind": "file", "id": "/etc/other", "spec": {"of": "another version"}}
    found = {item["id"]: item for item in motd.client.ask("survey", items=[bad, good], index=False)["items"]}
    assert found[str(motd.path)]["facts"]["content"] == "hello\n"
    assert "malformed" in found["/etc/other"]["error"]["message"]
