"""A function in a process of its own cannot hold up the agent."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from portcullis.agent.errors import AgentError
from portcullis.agent.own_process import OwnProcess

if TYPE_CHECKING:
    from collections.abc import Callable


def burn() -> NoReturn:
    while True:
        pass


def hang() -> NoReturn:
    while True:
        time.sleep(60)


def die() -> NoReturn:
    os._exit(3)


def fail() -> NoReturn:
    raise KeyError


def open_files() -> list[str]:
    """Return the files that this process has open, without the folder that it reads."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except FileNotFoundError:
            continue
    return found


def is_there(process: OwnProcess[Any]) -> bool:
    return Path(f"/proc/{process._id}").exists()


def test_the_result_arrives_whole() -> None:
    big = {"names": [f"file \udcff\n{number}" for number in range(100_000)]}
    process = OwnProcess(lambda: big)
    assert process.result() == big
    assert not is_there(process)
    assert OwnProcess(lambda: None).result() is None


def test_two_processes_run_at_the_same_time(tmp_path: Path) -> None:
    def meet(own: str, other: str) -> bool:
        (tmp_path / own).touch()
        while not (tmp_path / other).exists():
            time.sleep(0.01)
        return True

    first, second = OwnProcess(partial(meet, "a", "b")), OwnProcess(partial(meet, "b", "a"))
    assert first.result()
    assert second.result()


@pytest.mark.parametrize(
    ("function", "code", "message"),
    [
        (burn, "timeout", "it took more than 1 s of CPU time"),
        (die, "internal", "the process for it ended with code 3"),
        (fail, "internal", "the process for it ended with code 1"),
    ],
)
def test_a_function_that_fails_is_one_error(
    function: Callable[[], NoReturn], code: str, message: str
) -> None:
    process = OwnProcess(function, cpu=1, deadline=120)
    with pytest.raises(AgentError) as raised:
        process.result()
    assert (raised.value.code, raised.value.message) == (code, message)
    assert not is_there(process)


def test_a_function_that_hangs_is_killed_at_the_deadline() -> None:
    process = OwnProcess(hang, deadline=0.1)
    with pytest.raises(AgentError, match="it took more than 0 s"):
        process.result()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process._id, 0)
    assert not is_there(process)


def test_a_host_without_a_free_process_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> NoReturn:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", full)
    before = open_files()
    process = OwnProcess(hang)
    with pytest.raises(AgentError, match="it cannot have a process of its own: Resource temporarily"):
        process.result()
    assert open_files() == before


def test_the_process_keeps_no_file_of_the_agent_open(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w"):
        held = OwnProcess(open_files).result()
    assert not [path for path in held if path.endswith("/lock")]
    assert len([path for path in held if path.startswith("pipe:")]) == 1
    assert held.count(os.devnull) == 3
