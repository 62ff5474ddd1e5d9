"""If a deployment is killed, at whatever moment, the host has the old file or the new one, never a mix.

The next deployment finishes the change.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from tests.on_host import Client, FileClient

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from portcullis.agent.machine import Machine

# Events of sys.audit() that happen just before a change on disk or the start of a program.
_CHANGES = ("open", "os.", "subprocess.", "shutil.")


def _only_reads(event: str, arguments: Any) -> bool:
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    return event in {"os.listdir", "os.scandir"} or (event == "open" and not arguments[2] & writes)


def killed_at(number: int, work: Callable[[], object]) -> bool:
    """Do `work` in a child that kills itself before its n-th change. Return whether the child was killed."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
        return os.WIFSIGNALED(status)
    count = 0

    def hook(event: str, arguments: Any) -> None:
        nonlocal count
        if event.startswith(_CHANGES) and not _only_reads(event, arguments):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(hook)
        work()
        os._exit(0)
    except BaseException:  # noqa: BLE001
        os._exit(1)


def rounds(prepare: Callable[[], None], work: Callable[[], object], check: Callable[[], None]) -> int:
    number = 0
    while True:
        number += 1
        prepare()
        died = killed_at(number, work)
        check()
        if not died:
            return number


def test_kill_9_at_any_point_of_a_first_put(
    machine: Machine, etc: Path, leftovers: Callable[[], list[str]]
) -> None:
    path = etc / "motd"
    desired = {"path": str(path), "content": "new\n", "owner": "root", "group": "root", "mode": "0600",
               "test": ["grep", "-q", "new", str(path)]}  # fmt: skip

    def prepare() -> None:
        path.write_text("theirs\n")
        path.chmod(0o644)

    def check() -> None:
        assert path.read_text() in ("theirs\n", "new\n")
        client = Client(machine)
        client.on("put", "file", str(path), desired, adopt=True)
        assert path.read_text() == "new\n"
        assert leftovers() == []
        assert (
            Client(machine, opened=client.opened).on("remove", "file", str(path), desired)["done"]
            == "restored"
        )
        assert path.read_text() == "theirs\n"
        assert not machine.state.exists()
        client.close()

    put = rounds(prepare, lambda: Client(machine).on("put", "file", str(path), desired, adopt=True), check)
    assert put > 20


def test_kill_9_at_any_point_of_a_change_of_mode_does_not_lose_the_first_one(
    machine: Machine, etc: Path
) -> None:
    path = etc / "app"

    def on(op: str) -> None:
        client = Client(machine)
        desired = {"path": str(path), "owner": "root", "group": "root", "mode": "0750"}
        client.on(op, "directory", str(path), desired, adopt=True)
        client.close()

    def prepare() -> None:
        path.mkdir(mode=0o700, exist_ok=True)

    def check() -> None:
        on("put")
        assert path.stat().st_mode & 0o777 == 0o750
        on("remove")
        assert path.stat().st_mode & 0o777 == 0o700

    assert rounds(prepare, lambda: on("put"), check) > 10


def test_kill_9_between_the_write_and_its_test_does_not_let_a_bad_file_pass(
    machine: Machine, etc: Path
) -> None:
    path = etc / "motd"
    test = ["grep", "-q", "good", str(path)]
    untested = 0

    def put(content: str) -> None:
        client = FileClient(Client(machine), path)
        client.put(content, test=test)
        client.client.close()

    def prepare() -> None:
        path.write_text("good\n")
        put("good\n")

    def check() -> None:
        nonlocal untested
        untested += path.read_text() == "bad\n"
        bad = FileClient(Client(machine), path)
        assert bad.refused("bad\n", test=test).code == "test-failed"
        assert path.read_text() == "good\n"
        bad.client.close()

    for number in range(1, 80):
        prepare()
        with contextlib.suppress(AssertionError):  # not killed: the test failed as it should
            killed_at(number, lambda: put("bad\n"))
        check()
    assert untested > 2


def test_kill_9_at_any_point_of_a_remove(machine: Machine, etc: Path) -> None:
    path = etc / "motd"
    desired = {"path": str(path), "content": "new\n"}

    def prepare() -> None:
        path.write_text("theirs\n")
        client = Client(machine)
        client.on("put", "file", str(path), desired, adopt=True)
        client.close()

    def check() -> None:
        client = Client(machine)
        client.on("remove", "file", str(path), desired)
        assert path.read_text() == "theirs\n"
        client.close()

    assert rounds(prepare, lambda: Client(machine).on("remove", "file", str(path), desired), check) > 5
