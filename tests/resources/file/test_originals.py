from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING

import pytest

from tests.on_host import OTHER_URN, STACK, URN

if TYPE_CHECKING:
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from tests.on_host import Client, FileClient


def test_delete_restores_bytes_owner_and_mode_of_the_original(motd: FileClient) -> None:
    motd.path.write_bytes(b"theirs \xff\n")
    motd.path.chmod(0o600)
    motd.put(adopt=True)
    motd.again().put("newer\n")
    assert motd.again().remove() == "restored"
    assert motd.path.read_bytes() == b"theirs \xff\n"
    assert stat.S_IMODE(motd.path.stat().st_mode) == 0o600


def test_the_original_is_from_before_the_first_change(motd: FileClient) -> None:
    motd.path.write_text("theirs\n")
    motd.put("ours\n", adopt=True)
    motd.path.write_text("by hand\n")
    motd.put("ours\n", adopt=True)
    motd.remove()
    assert motd.path.read_text() == "theirs\n"


def test_delete_removes_a_file_that_was_absent_and_the_state_folder(motd: FileClient, tmp_path: Path) -> None:
    motd.put()
    assert motd.remove() == "removed"
    assert not motd.path.exists()
    assert not (tmp_path / "state").exists()


def test_only_root_can_read_the_state(motd: FileClient, tmp_path: Path) -> None:
    motd.path.write_text("secret before us\n")
    motd.path.chmod(0o644)
    motd.put(adopt=True)
    found = list((tmp_path / "state").rglob("*"))
    assert {path.name for path in found} >= {"record.json", "original"}
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in [tmp_path / "state", *found])


@pytest.mark.parametrize(("how", "done", "left"), [("keep", "kept", "ours\n"), ("remove", "removed", None)])
def test_on_delete_keeps_or_removes(motd: FileClient, how: str, done: str, left: str | None) -> None:
    motd.path.write_text("theirs\n")
    motd.put("ours\n", adopt=True)
    assert motd.remove(on_delete=how) == done
    assert (motd.path.read_text() if motd.path.exists() else None) == left


def test_a_second_delete_finds_nothing_to_do(motd: FileClient) -> None:
    motd.put()
    motd.remove()
    assert motd.remove() == "absent"


def test_delete_of_a_file_that_somebody_removed_is_no_error(motd: FileClient) -> None:
    motd.put()
    motd.path.unlink()
    assert motd.remove() == "absent"


def test_delete_leaves_a_directory_that_took_the_files_place(motd: FileClient) -> None:
    motd.put()
    motd.path.unlink()
    (motd.path / "data").mkdir(parents=True)
    assert motd.remove(on_delete="remove") == "kept"
    assert (motd.path / "data").exists()


def test_restore_makes_the_folder_again_rather_than_lose_the_original(motd: FileClient) -> None:
    motd.path.write_text("theirs\n")
    motd.put(adopt=True)
    motd.path.unlink()
    motd.path.parent.rmdir()
    assert motd.remove() == "restored"
    assert motd.path.read_text() == "theirs\n"


def test_delete_restores_no_file_of_a_package_that_was_removed(motd: FileClient, machine: Machine) -> None:
    motd.path.write_text("shipped\n")
    ship(machine, motd.path)
    motd.put()
    motd.path.unlink()
    motd.path.parent.rmdir()
    assert motd.remove() == "absent"
    assert not motd.path.parent.exists()


def test_a_renamed_resource_is_not_deleted_by_its_former_name(motd: FileClient) -> None:
    motd.put()
    renamed = motd.again(owner=OTHER_URN)
    renamed.put()
    assert renamed.again(owner=URN).remove() == "not-owner"
    assert motd.path.exists()
    assert renamed.again().remove() == "removed"


def test_the_same_file_twice_in_one_deployment_names_both(motd: FileClient) -> None:
    motd.put()
    motd.client.owner = OTHER_URN
    error = motd.refused("other\n")
    assert error.code == "conflict"
    assert 'File "motd"' in error.message
    assert 'File "greeting"' in error.message
    assert motd.path.read_text() == "new\n"


def test_another_stacks_file_is_named_and_needs_adopt(motd: FileClient) -> None:
    motd.put("prod\n")
    staging = motd.again(stack="web/staging", owner=URN.replace("prod", "staging"))
    error = staging.refused("staging\n")
    assert error.code == "owned"
    assert STACK in error.message
    staging.put("staging\n", adopt=True)
    assert motd.again().remove() == "not-owner"
    assert staging.again().remove() == "removed"


def test_a_damaged_record_is_an_error_of_its_resource_alone(
    motd: FileClient, client: Client, etc: Path, tmp_path: Path
) -> None:
    motd.put()
    (record,) = (tmp_path / "state" / "items").glob("*/record.json")
    record.write_text("{")
    other = {"path": str(etc / "x"), "content": "x"}
    client.on("put", "file", other["path"], other)
    assert motd.refused().code == "unreadable"
    found = client.ask("survey", items=[])["items"]
    assert [item["id"] for item in found] == [other["path"]]


def test_unknown_fields_in_a_record_of_a_newer_agent_are_ignored(motd: FileClient, tmp_path: Path) -> None:
    motd.put()
    (record,) = (tmp_path / "state" / "items").glob("*/record.json")
    record.write_text(record.read_text().replace("{", '{"invented": 1,', 1))
    assert motd.again().put()["steps"] == []


def ship(machine: Machine, path: Path, *, conffile: bool = True) -> None:
    """Record the present content of the file in the package database."""
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    fields = f"Conffiles:\n {path} {digest}\n" if conffile else ""
    (machine.dpkg / "status").write_text(
        "Package: greeter\nStatus: install ok installed\nMaintainer: x <x@x>\nArchitecture: all\nVersion: 1\n"
        f"{fields}Description: x\n"
    )
    parents = "".join(f"{parent}\n" for parent in reversed([*path.parents][:-1]))
    (machine.dpkg / "info" / "greeter.list").write_text(f"/.\n{parents}{path}\n")
    if not conffile:
        (machine.dpkg / "info" / "greeter.md5sums").write_text(f"{digest}  {str(path)[1:]}\n")


@pytest.mark.parametrize("conffile", [True, False])
def test_an_unchanged_file_of_a_package_is_replaced_without_adopt(
    motd: FileClient, machine: Machine, *, conffile: bool
) -> None:
    motd.path.write_text("shipped\n")
    ship(machine, motd.path, conffile=conffile)
    motd.put()
    assert motd.path.read_text() == "new\n"
    assert motd.remove() == "restored"
    assert motd.path.read_text() == "shipped\n"


def test_a_shipped_file_that_somebody_edited_needs_adopt(motd: FileClient, machine: Machine) -> None:
    motd.path.write_text("shipped\n")
    ship(machine, motd.path)
    motd.path.write_text("edited\n")
    assert motd.refused().code == "differs"


def test_an_unchanged_file_of_ucf_is_replaced_without_adopt(motd: FileClient, machine: Machine) -> None:
    motd.path.write_text("placed\n")
    digest = hashlib.md5(b"placed\n", usedforsecurity=False).hexdigest()
    machine.ucf.write_text(f"{digest}  {motd.path}\n")
    motd.put()
    assert motd.path.read_text() == "new\n"
