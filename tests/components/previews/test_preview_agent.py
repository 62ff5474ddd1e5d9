"""The agent for the preview key: it reads the resources of one stack, hides secrets, and changes nothing."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent import redaction, safe_paths
from portcullis.agent.errors import AgentError
from portcullis.agent.main import LINE, Agent
from portcullis.agent.read_only import ReadOnly
from portcullis.agent.redaction import AT_ONCE
from portcullis.agent.store import Store
from tests.on_host import STACK, FileClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portcullis.agent.machine import Machine

Json = dict[str, Any]
SECRET = "correct horse battery staple\n"
DIGEST = "a" * 64


def read_only(machine: Machine, stack: str = STACK) -> ReadOnly:
    return ReadOnly(machine, stack, DIGEST)


def seen(machine: Machine, path: Path, **more: Any) -> Json:
    """Return the agent's answer to the preview key about one file."""
    item = {"kind": "file", "id": str(path), "spec": {"path": str(path)}}
    answer = read_only(machine).do({"op": "survey", "stack": STACK, "items": [item], **more})
    found: Json
    (found,) = [one for one in answer["items"] if one["id"] == str(path)]
    return found


def snapshot(folder: Path) -> dict[str, tuple[int, float, bytes]]:
    return {
        str(path): (path.lstat().st_mode, path.lstat().st_mtime, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def etc() -> Iterator[Path]:
    """Return a folder that everybody may enter, unlike the temporary folders of pytest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize(
    "op",
    [
        "put",
        "remove",
        "plan",
        "blob",
        "tree-missing",
        "confirm",
        "rollback",
        "armed",
        "",
        "Survey",
        None,
        ["survey"],
    ],
)
def test_every_operation_except_two_is_refused(
    machine: Machine, motd: FileClient, tmp_path: Path, op: Any
) -> None:
    motd.put()
    motd.client.close()
    before = snapshot(tmp_path) | snapshot(motd.path.parent)
    request = {
        "op": op, "stack": STACK, "kind": "file", "item": str(motd.path), "desired": motd.desired("evil\n"),
        "owner": motd.client.owner, "who": "pr", "adopt": True, "guard": "1", "path": str(motd.path),
        "sha": "0" * 64, "data": "", "last": True, "files": {},
    }  # fmt: skip
    with pytest.raises(AgentError) as caught:
        read_only(machine).do(request)
    assert caught.value.code == "read-only"
    assert "may only read" in caught.value.message
    assert "deploy key" in caught.value.hint
    assert snapshot(tmp_path) | snapshot(motd.path.parent) == before


def test_hello_tells_protocol_agent_and_system(machine: Machine) -> None:
    said = read_only(machine).do({"op": "hello"})
    assert (said["protocol"], said["agent"]) == (redaction.PROTOCOL, DIGEST)
    assert said["os"]


def test_a_read_leaves_no_trace(machine: Machine, motd: FileClient, tmp_path: Path) -> None:
    motd.put()
    motd.client.close()
    before = snapshot(tmp_path) | snapshot(motd.path.parent)
    session = read_only(machine)
    session.do({"op": "hello"})
    session.do({"op": "survey", "stack": STACK})
    session.close()
    assert snapshot(tmp_path) | snapshot(motd.path.parent) == before
    assert not machine.lock.exists()


def test_a_survey_has_every_resource_and_no_spec(machine: Machine, motd: FileClient) -> None:
    motd.put("hello\n")
    answer = read_only(machine).do({"op": "survey", "stack": STACK})
    (item,) = answer["items"]
    assert item["facts"]["content"] == "hello\n"
    assert "spec" not in item
    assert answer["protocol"] == redaction.PROTOCOL


@pytest.mark.parametrize(
    "kind", ["file", "tree", "directory", "redis.redis_users", "mongodb.mongo_roots", "nonsense"]
)
def test_an_unrecorded_path_is_not_read(
    machine: Machine, motd: FileClient, tmp_path: Path, kind: str
) -> None:
    motd.put()
    private = tmp_path / "shadow"
    private.write_text("root:$y$secret")
    spec = {
        "path": str(private),
        "acl": str(private),
        "root_file": str(private),
        "user": "x",
        "address": "127.0.0.1:1",
    }
    items = [{"kind": kind, "id": str(private), "spec": spec}]
    (item,) = read_only(machine).do({"op": "survey", "stack": STACK, "items": items, "index": False})["items"]
    assert item["error"]["code"] == "read-only"
    assert "facts" not in item
    assert "$y$secret" not in json.dumps(item)


def test_a_recorded_resource_is_read_only_at_its_recorded_path(
    machine: Machine, motd: FileClient, tmp_path: Path
) -> None:
    """With the client's own spec, the agent would read any file under the name of a managed file."""
    motd.put("hello\n")
    private = tmp_path / "shadow"
    private.write_text("root:$y$secret")
    items = [{"kind": "file", "id": str(motd.path), "spec": {"path": str(private)}}]
    (item,) = read_only(machine).do({"op": "survey", "stack": STACK, "items": items, "index": False})["items"]
    assert item["facts"]["content"] == "hello\n"


@pytest.mark.parametrize("stack", ["web/dev", "", None])
def test_another_stack_is_not_shown(machine: Machine, motd: FileClient, stack: Any) -> None:
    motd.put()
    with pytest.raises(AgentError, match=r"access to the stack web/prod only"):
        read_only(machine).do({"op": "survey", "stack": stack})
    other = read_only(machine, "web/dev")
    assert other.do({"op": "survey", "stack": "web/dev"})["items"] == []


def test_a_secret_is_not_shown_and_counts_as_unchanged(machine: Machine, motd: FileClient) -> None:
    motd.put(SECRET, secret=True, mode="0400")
    found = seen(machine, motd.path)
    assert found["facts"]["redacted"] == {"content": "unchanged"}
    assert found["facts"]["mode"] == "0400"
    told = json.dumps(read_only(machine).do({"op": "survey", "stack": STACK}))
    assert "horse" not in told
    assert hashlib.sha256(SECRET.encode()).hexdigest() not in told


def test_a_secret_that_everybody_may_read_is_not_shown_either(machine: Machine, motd: FileClient) -> None:
    motd.put(SECRET, secret=True)
    motd.path.chmod(0o644)
    assert seen(machine, motd.path)["facts"]["content"] == ""


def test_a_changed_secret_is_reported_as_changed(machine: Machine, motd: FileClient) -> None:
    motd.put(SECRET, secret=True, mode="0400")
    motd.path.write_text("another secret\n")
    found = seen(machine, motd.path)
    assert found["facts"]["redacted"] == {"content": "changed"}
    assert "another" not in json.dumps(found)


def test_a_public_file_shows_an_edit_by_hand(machine: Machine, motd: FileClient) -> None:
    motd.put("hello\n")
    motd.path.write_text("hello\nmeddled\n")
    assert seen(machine, motd.path)["facts"]["content"] == "hello\nmeddled\n"


def test_an_edit_of_a_private_file_is_not_shown(machine: Machine, motd: FileClient) -> None:
    """The content is not marked as a secret, but a line that somebody added by hand may be a secret."""
    motd.put("user = backup\n", mode="0600")
    assert seen(machine, motd.path)["facts"]["content"] == "user = backup\n"
    motd.path.write_text("user = backup\npassword = hunter2\n")
    found = seen(machine, motd.path)
    assert found["facts"]["redacted"] == {"content": "changed"}
    assert "hunter2" not in json.dumps(found)


def test_a_file_that_is_replaced_between_check_and_open_is_not_shown(
    machine: Machine, motd: FileClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    motd.put("hello\n")
    motd.client.close()
    motd.path.write_text("everybody may read this\n")
    secret = motd.path.with_name("secret")
    secret.write_text("for root alone\n")
    secret.chmod(0o600)
    opens = safe_paths.FolderEntry.open

    def exchanged(place: safe_paths.FolderEntry) -> int:
        if secret.exists():  # the account that owns the folder replaces the file before the agent opens it
            secret.replace(motd.path)
        return opens(place)

    monkeypatch.setattr(safe_paths.FolderEntry, "open", exchanged)
    found = seen(machine, motd.path)
    assert "for root alone" not in json.dumps(found)
    assert found["facts"]["mode"] == "0600"
    assert found["facts"]["redacted"] == {"content": "changed"}


def test_a_private_folder_makes_its_files_private(machine: Machine, motd: FileClient) -> None:
    motd.put("hello\n")
    motd.path.write_text("password = hunter2\n")
    motd.path.parent.chmod(0o700)
    assert seen(machine, motd.path)["facts"]["content"] == ""


def test_a_link_in_place_of_a_file_is_not_followed(
    machine: Machine, motd: FileClient, tmp_path: Path
) -> None:
    motd.put("hello\n")
    (tmp_path / "shadow").write_text("root:$y$secret")
    motd.path.unlink()
    motd.path.symlink_to(tmp_path / "shadow")
    found = seen(machine, motd.path)
    assert found["facts"]["content"] == f"<a symbolic link to {tmp_path}/shadow>"


def test_errors_carry_no_detail(machine: Machine, motd: FileClient, monkeypatch: pytest.MonkeyPatch) -> None:
    motd.put()
    error = AgentError("unreadable", "broken", detail="password = hunter2")
    monkeypatch.setattr("portcullis.resources.file.on_host.Files.facts", lambda *_: [error])
    assert seen(machine, motd.path)["error"]["detail"] == ""


def test_a_file_without_a_recorded_hash_is_not_shown(machine: Machine, motd: FileClient) -> None:
    motd.put(SECRET, secret=True, mode="0400")
    store = Store(machine.state)
    record = store.load("file", str(motd.path))
    assert record is not None
    record.extra.clear()
    store.save(record)
    assert "did not record the content that `up` wrote" in seen(machine, motd.path)["error"]["message"]
    motd.again().put("another secret\n", secret=True, mode="0400")
    assert seen(machine, motd.path)["facts"]["redacted"] == {"content": "unchanged"}


def test_the_protocol_is_the_same_as_for_a_deploy(machine: Machine, motd: FileClient, tmp_path: Path) -> None:
    motd.put("hello\n")
    asked = [{"id": 1, "op": "survey", "stack": STACK}, {"id": 2, "op": "put", "kind": "file"}]
    said = tmp_path / "said"
    with said.open("wb") as out:
        agent = Agent(machine, out.fileno(), read_only(machine))
        agent.serve([], io.BytesIO("".join(json.dumps(one) + "\n" for one in asked).encode()))
    answers = {one["id"]: one for one in map(json.loads, said.read_text().splitlines())}
    assert answers[1]["ok"] is True
    assert answers[2]["error"]["code"] == "read-only"


class Flood(io.RawIOBase):
    """A client that sends lines as fast as the agent reads them, and counts the lines."""

    def __init__(self, line: bytes, lines: int) -> None:
        self.line, self.left, self.sizes = line, lines, []

    def readline(self, size: int | None = -1, /) -> bytes:
        self.sizes.append(size)
        self.left -= 1
        return self.line if self.left >= 0 else b""


def test_a_line_over_the_limit_is_refused(machine: Machine, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with said.open("wb") as out:
        agent = Agent(machine, out.fileno(), read_only(machine), bounded=True)
        agent.serve(
            [], io.BytesIO(b" " * (LINE + 1) + b'{"id": 1, "op": "hello"}\n{"id": 2, "op": "hello"}\n')
        )
    (answer,) = map(json.loads, said.read_text().splitlines())
    assert (answer["id"], answer["error"]["code"]) == (-1, "invalid")


def test_requests_are_read_only_as_fast_as_they_are_answered(machine: Machine, tmp_path: Path) -> None:
    """Otherwise a client that sends without reading could fill the host's memory."""
    asked = Flood(b'{"id": 1, "op": "hello"}\n', 1000)
    at_work, answering = threading.Semaphore(0), threading.Event()

    class Slow(ReadOnly):
        def do(self, request: Json) -> Json:
            at_work.release()
            answering.wait()
            return super().do(request)

    with (tmp_path / "said").open("wb") as out:
        agent = Agent(machine, out.fileno(), Slow(machine, STACK, DIGEST), bounded=True)
        serving = threading.Thread(target=agent.serve, args=([], asked))
        serving.start()
        for _ in range(AT_ONCE):
            at_work.acquire()
        time.sleep(0.3)  # an agent that reads on would show now
        waiting = 1000 - asked.left
        answering.set()
        serving.join()
    assert AT_ONCE <= waiting <= 2 * AT_ONCE + 1
    assert set(asked.sizes) == {LINE}
    assert len((tmp_path / "said").read_text().splitlines()) == 1000


def test_a_deploy_may_send_lines_of_any_length(machine: Machine, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with said.open("wb") as out:
        Agent(machine, out.fileno()).serve([], io.BytesIO(b" " * LINE + b'{"id": 1, "op": "hello"}\n'))
    assert json.loads(said.read_text())["ok"] is True


def test_an_ended_session_leaves_no_idle_watch_behind(machine: Machine, tmp_path: Path) -> None:
    """A thread that remains would end the test process after half an hour."""
    before = set(threading.enumerate())
    with (tmp_path / "said").open("wb") as out:
        Agent(machine, out.fileno()).serve([], io.BytesIO(b'{"id": 1, "op": "hello"}\n'))
    for left in set(threading.enumerate()) - before:
        left.join(120)
        assert not left.is_alive()


@pytest.mark.parametrize("change", ["save", "drop", "make_folder"])
def test_a_kind_cannot_change_records(machine: Machine, motd: FileClient, change: str) -> None:
    motd.put()
    store = read_only(machine)._store
    record = store.load("file", str(motd.path))
    assert record is not None
    method: Callable[..., Any] = getattr(store, change)
    with pytest.raises(AgentError, match="may only read"):
        method(*(("file", "x") if change == "make_folder" else (record,)))
