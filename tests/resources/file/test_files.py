from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from portcullis.agent.errors import AgentError
from portcullis.agent.store import Store
from tests.canned import until
from tests.on_host import FileClient

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.on_host import Client


def test_a_new_file_has_content_owner_and_mode_and_the_second_put_does_nothing(motd: FileClient) -> None:
    made = motd.put("hello\n", owner="daemon", group="adm", mode="0640")
    assert [step["action"] for step in made["steps"]] == ["create"]
    status = motd.path.stat()
    assert (motd.path.read_text(), stat.S_IMODE(status.st_mode), status.st_uid) == ("hello\n", 0o640, 1)
    again = motd.again().put("hello\n", owner="daemon", group="adm", mode="0640")
    assert again["steps"] == []
    assert again["facts"] == made["facts"]
    assert motd.path.stat().st_ctime_ns == status.st_ctime_ns


def test_every_write_has_a_revision_of_its_own_even_back_to_the_same_content(motd: FileClient) -> None:
    seen = [motd.put(content)["facts"]["revision"] for content in ("a\n", "b\n", "a\n")]
    assert len(set(seen)) == 3
    assert seen == sorted(seen)


def test_an_interrupted_change_gets_one_new_revision_even_if_it_was_complete(motd: FileClient) -> None:
    """A service reloads a file if its revision changes, and no service has loaded the complete file yet."""
    first = motd.put("hello\n")["facts"]["revision"]
    store = Store(motd.client.machine.state)
    record = store.load("file", str(motd.path))
    assert record is not None
    record.pending = True
    store.save(record)
    again = motd.again().put("hello\n")
    assert again["steps"] == []
    assert again["facts"]["revision"] > first
    assert motd.again().put("hello\n")["facts"]["revision"] == again["facts"]["revision"]


def test_a_changed_mode_keeps_the_inode(motd: FileClient) -> None:
    motd.put(mode="0644")
    before = motd.path.stat().st_ino
    done = motd.put(mode="0600")
    assert [(s["property"], s["have"], s["want"]) for s in done["steps"]] == [("mode", "0644", "0600")]
    assert motd.path.stat().st_ino == before


def test_a_setuid_bit_survives_the_change_of_owner(motd: FileClient) -> None:
    motd.put(owner="daemon", mode="4755")
    assert motd.facts()["mode"] == "4755"


def test_a_file_that_differs_is_shown_and_needs_adopt(motd: FileClient) -> None:
    motd.path.write_text("one\ntwo\n")
    error = motd.refused("one\n2\n")
    assert (error.code, error.prop) == ("differs", "content")
    assert "-two" in error.detail
    assert "+2" in error.detail
    assert "adopt=True" in error.hint
    assert motd.path.read_text() == "one\ntwo\n"
    motd.put("one\n2\n", adopt=True)
    assert motd.path.read_text() == "one\n2\n"


def test_an_equal_file_is_taken_over_without_adopt(motd: FileClient) -> None:
    motd.path.write_text("new\n")
    assert motd.put("new\n")["steps"] == []


def test_a_refused_first_touch_leaves_no_record(motd: FileClient, tmp_path: Path) -> None:
    motd.path.write_text("old\n")
    motd.refused()
    assert not (tmp_path / "state").exists()


def test_plan_says_what_put_would_do_and_changes_nothing(motd: FileClient, tmp_path: Path) -> None:
    motd.path.write_text("old\n")
    plan = motd.client.on("plan", "file", str(motd.path), motd.desired())
    assert plan["refusal"]["code"] == "differs"
    assert plan["facts"]["content"] == "old\n"
    assert [step["property"] for step in plan["steps"]] == ["content"]
    assert not (tmp_path / "state").exists()
    assert motd.path.read_text() == "old\n"


def test_a_diff_is_capped(motd: FileClient) -> None:
    motd.path.write_text("".join(f"old {n}\n" for n in range(500)))
    detail = motd.refused("x" * 5000).detail
    assert len(detail.splitlines()) == 61
    assert "more lines" in detail
    assert max(map(len, detail.splitlines())) <= 300


def test_a_missing_last_newline_is_named_and_not_an_empty_diff(motd: FileClient) -> None:
    motd.path.write_text("same")
    assert "last newline" in motd.refused("same\n").detail


def test_nothing_of_a_secret_is_in_errors_steps_or_plans(motd: FileClient) -> None:
    motd.path.write_text("hunter1")
    error = motd.refused("hunter2", secret=True)
    failed = motd.refused("hunter2", secret=True, adopt=True, test=["sh", "-c", f"cat {motd.path}; exit 1"])
    assert failed.code == "test-failed"
    shown = str(motd.client.on("plan", "file", str(motd.path), motd.desired("hunter2", secret=True))["steps"])
    done = str(motd.put("hunter2", secret=True, adopt=True)["steps"])
    for text in (str(error.as_json()), str(failed.as_json()), shown, done):
        assert "hunter" not in text


@pytest.mark.parametrize("what", ["bytes", "large", "link", "pipe", "directory"])
def test_a_placeholder_for_other_content_is_never_written(motd: FileClient, etc: Path, what: str) -> None:
    other = FileClient(motd.client, etc / "other")
    {
        "bytes": lambda: motd.path.write_bytes(b"\xff\xfe"),
        "large": lambda: motd.path.write_bytes(b"a" * 200_000),
        "link": lambda: motd.path.symlink_to("x\ny"),
        "pipe": lambda: os.mkfifo(motd.path),
        "directory": motd.path.mkdir,
    }[what]()
    error = other.refused(motd.facts()["content"])
    assert (error.code, error.prop) == ("invalid", "content")
    assert not other.path.exists()


def test_the_placeholder_of_an_absent_file_is_never_written(motd: FileClient) -> None:
    assert motd.refused("<absent>").prop == "content"


@pytest.mark.parametrize("content", ["<absent>\n", "<html>", "<a directory>\n<a directory>", "x<absent>"])
def test_text_that_only_resembles_a_placeholder_is_content(motd: FileClient, content: str) -> None:
    motd.put(content)
    assert motd.path.read_text() == content


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_refusal_does_not_quote_a_file_that_not_everybody_may_read(motd: FileClient, mode: int) -> None:
    motd.path.write_text("password = hunter1\n")
    motd.path.chmod(mode)
    error = motd.refused("password =\n")
    assert error.code == "differs"
    assert "hunter1" not in str(error.as_json())
    assert f"{mode:04o}" in error.detail
    plan = motd.client.on("plan", "file", str(motd.path), motd.desired("password =\n"))
    assert "hunter1" not in str([plan["steps"], plan["refusal"]])


def test_a_bad_file_does_not_fail_the_tests_of_its_good_neighbours(client: Client, etc: Path) -> None:
    whole = ["sh", "-c", f"sleep 0.05; ! grep -q bad {etc}/*"]
    failed: list[str] = []

    def put(name: str, content: str) -> None:
        file = FileClient(client, etc / name)
        try:
            file.put(content, test=whole)
        except AgentError:
            failed.append(name)

    for attempt in range(3):
        names = {f"good{attempt}": "good\n", f"bad{attempt}": "bad\n", f"fine{attempt}": "fine\n"}
        threads = [threading.Thread(target=put, args=pair) for pair in names.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == ["bad0", "bad1", "bad2"]


def test_no_file_is_removed_while_a_test_reads_its_folder(client: Client, etc: Path) -> None:
    """The test command reads like nginx: it lists the folder first, and then fails for a missing file."""
    others = [FileClient(client, etc / f"other{n}") for n in range(4)]
    for other in others:
        other.put("good\n")
    begun = etc.parent / "begun"
    slow = ["sh", "-c", f'set -- {etc}/*; touch {begun}; sleep 0.5; cat -- "$@" >/dev/null']
    tested: list[object] = []

    def put() -> None:
        try:
            tested.append(FileClient(client, etc / "tested").put("good\n", test=slow))
        except AgentError as error:
            tested.append(error.detail)

    thread = threading.Thread(target=put)
    thread.start()
    until(lambda: begun.exists() or not thread.is_alive())
    removed = [other.remove() for other in others]
    thread.join()
    assert removed == ["removed"] * 4
    assert isinstance(tested[0], dict), tested


def test_a_new_file_that_fails_its_test_is_removed_when_nobody_reads(client: Client, etc: Path) -> None:
    gone = threading.Thread(target=FileClient(client, etc / "bad").refused, kwargs={"test": ["false"]})
    with client.machine.readers.reading():
        gone.start()
        until((etc / "bad").exists)
        gone.join(0.3)
        assert (etc / "bad").exists()
    gone.join()
    assert not (etc / "bad").exists()


def test_a_link_to_a_name_that_is_not_utf_8_is_shown_with_escapes(motd: FileClient, etc: Path) -> None:
    motd.path.symlink_to(os.fsdecode(b"caf\xe9"))
    assert motd.facts()["content"].encode() == rb"<a symbolic link to caf\xe9>"
    directory = motd.client.look("directory", str(etc / "motd"), {"path": str(etc / "motd")})
    assert directory["mode"].encode() == rb"<a symbolic link to caf\xe9>"
    motd.put(adopt=True)
    assert motd.remove() == "restored"
    assert os.fsencode(motd.path.readlink()) == b"caf\xe9"


def test_a_large_file_is_described_and_not_sent(motd: FileClient) -> None:
    motd.path.write_bytes(b"a" * 200_000)
    assert motd.facts()["content"] == "<200000 bytes, too large to show>"
    assert motd.refused("b" * 200_000).code == "invalid"


def test_a_symbolic_link_is_replaced_and_never_followed(motd: FileClient, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("theirs\n")
    motd.path.symlink_to(target)
    assert motd.facts()["content"] == f"<a symbolic link to {target}>"
    assert motd.refused().code == "differs"
    motd.put(adopt=True)
    assert not motd.path.is_symlink()
    assert target.read_text() == "theirs\n"
    assert motd.remove() == "restored"
    assert motd.path.readlink() == target


def test_a_directory_in_the_way_is_never_removed(motd: FileClient) -> None:
    (motd.path / "inside").mkdir(parents=True)
    error = motd.refused(adopt=True)
    assert (error.code, error.prop) == ("invalid", "path")
    assert "a directory" in error.message
    assert (motd.path / "inside").exists()


def test_a_named_pipe_does_not_hang_the_reader(motd: FileClient) -> None:
    os.mkfifo(motd.path)
    assert motd.facts()["content"] == "<a named pipe>"
    assert motd.refused(adopt=True).code == "invalid"


def test_unreadable_is_not_absent(motd: FileClient, etc: Path) -> None:
    (etc / "loop").symlink_to(etc / "loop")
    path = str(etc / "loop" / "motd")
    (found,) = motd.client.ask("survey", items=[{"kind": "file", "id": path, "spec": {"path": path}}])[
        "items"
    ]
    assert found["error"]["code"] == "unreadable"


def test_a_path_through_a_file_is_absent(motd: FileClient) -> None:
    motd.path.write_text("")
    path = str(motd.path / "x")
    assert motd.client.look("file", path, {"path": path}) == {"exists": False}


def test_a_missing_folder_is_an_error_for_people(motd: FileClient) -> None:
    motd.path.parent.rmdir()
    error = motd.refused()
    assert "does not exist" in error.message
    assert "Directory" in error.hint


@pytest.mark.parametrize(
    ("more", "prop"),
    [({"owner": "nobody-here"}, "owner"), ({"group": "no-group"}, "group"), ({"mode": "9"}, "mode")],
)
def test_an_unknown_owner_group_or_mode_is_named(motd: FileClient, more: dict[str, str], prop: str) -> None:
    error = motd.refused(**more)
    assert (error.code, error.prop) == ("invalid", prop)
    assert not motd.path.exists()


@pytest.mark.parametrize("path", ["etc/motd", "/etc/../motd", "/etc//motd", "/", "/etc/mo\0td"])
def test_a_path_that_is_not_absolute_and_normal_is_refused(client: Client, path: str) -> None:
    desired = {"path": path, "content": ""}
    assert client.refused("put", "file", path, desired, spec={"path": path}).code == "invalid"


def test_content_that_utf_8_cannot_encode_is_refused(motd: FileClient) -> None:
    assert motd.refused("\ud800").code == "invalid"


def test_validate_sees_the_new_bytes_before_anyone_else(motd: FileClient) -> None:
    motd.put("old\n")
    error = motd.refused("bad\n", validate=["sh", "-c", 'cat "$0" >&2; exit 3', "{path}"])
    assert error.code == "test-failed"
    assert error.detail == "bad"
    assert "exit code 3" in error.message
    assert motd.path.read_text() == "old\n"


def test_a_failed_test_names_the_real_path_and_not_the_temporary_one(motd: FileClient) -> None:
    error = motd.refused(validate=["sh", "-c", 'echo "$0:1: syntax error"; exit 1', "{path}"])
    assert error.detail == f"{motd.path}:1: syntax error"


def test_a_failed_test_restores_the_old_bytes_mode_and_owner(motd: FileClient) -> None:
    motd.path.write_text("old\n")
    motd.path.chmod(0o600)
    error = motd.refused(adopt=True, mode="0644", test=["grep", "-q", "old", str(motd.path)])
    assert error.code == "test-failed"
    assert (motd.facts()["content"], motd.facts()["mode"]) == ("old\n", "0600")


def test_a_failed_test_of_a_new_file_leaves_nothing(
    motd: FileClient, tmp_path: Path, leftovers: Callable[[], list[str]]
) -> None:
    motd.refused(test=["false"])
    assert not motd.path.exists()
    assert leftovers() == []
    assert not (tmp_path / "state").exists()


def test_a_failed_test_keeps_the_good_version_we_wrote_and_not_the_original(motd: FileClient) -> None:
    motd.path.write_text("theirs\n")
    motd.put("good\n", adopt=True, test=["true"])
    motd.refused("bad\n", test=["false"])
    assert motd.path.read_text() == "good\n"
    assert motd.remove() == "restored"
    assert motd.path.read_text() == "theirs\n"


def test_a_test_that_does_not_exist_is_a_failure(motd: FileClient) -> None:
    motd.put("good\n")
    error = motd.refused("bad\n", test=["no-such-program"])
    assert "no program no-such-program" in error.message
    assert motd.path.read_text() == "good\n"


def test_a_file_that_something_changes_back_is_an_error(motd: FileClient) -> None:
    error = motd.refused(test=["sh", "-c", f"echo other > {motd.path}"])
    assert (error.code, error.prop) == ("not-converged", "content")


def test_files_with_the_same_first_40_characters_do_not_sweep_each_other(client: Client, etc: Path) -> None:
    names = [etc / ("a" * 240 + str(n)) for n in range(8)]
    errors: list[BaseException] = []

    def put(path: Path) -> None:
        try:
            for n in range(10):
                client.on("put", "file", str(path), {"path": str(path), "content": f"{n}\n"})
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=put, args=(path,)) for path in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert {path.read_text() for path in names} == {"9\n"}


def test_leftovers_of_an_interrupted_write_are_removed_by_the_next(
    motd: FileClient, leftovers: Callable[[], list[str]]
) -> None:
    (motd.path.parent / ".motd.portcullis-0a0b0c0d").write_text("half")
    (motd.path.parent / ".motd.portcullis-0a0b0c0d.link").symlink_to("nowhere")
    motd.put()
    assert leftovers() == []


def test_a_file_without_a_size_is_read_all_the_same(client: Client) -> None:
    path = "/proc/sys/kernel/ostype"
    assert client.look("file", path, {"path": path})["content"] == "Linux\n"
