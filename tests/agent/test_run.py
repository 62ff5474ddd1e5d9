from __future__ import annotations

import os
from pathlib import Path

import pytest

from portcullis.agent.errors import AgentError
from portcullis.agent.run import run
from tests.canned import until


def test_output_code_and_locale() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=60)
    assert (done.code, done.out, done.err, done.text) == (3, "out\n", "err\n", "out\nerr")
    assert run(["sh", "-c", "echo $LC_ALL; cat"], timeout=60).out == "C\n"


def test_nothing_of_our_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "hunter2")
    assert "hunter2" not in run(["env"], timeout=10, env={"DEBIAN_FRONTEND": "noninteractive"}).out


def test_a_program_that_hangs_is_stopped_with_its_children() -> None:
    with pytest.raises(AgentError, match="did not end within") as caught:
        run(["sh", "-c", "sleep 300 & echo $! ; wait"], timeout=0.3)
    assert caught.value.code == "timeout"
    until(lambda: not is_running(caught.value.detail.strip()))


def is_running(pid: str) -> bool:
    try:
        return (
            "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
        )  # a zombie: dead, but init has not reaped it yet
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_program_that_cannot_be_executed_is_named() -> None:
    with pytest.raises(AgentError, match="cannot be executed"):
        run(["/etc/hostname"], timeout=60)


def test_five_megabytes_of_output_are_fine() -> None:
    assert len(run(["sh", "-c", "head -c 5000000 /dev/zero"], timeout=60).out) == 4 * 1024 * 1024


def test_files_that_programs_make_are_not_for_root_alone(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        run(["touch", str(tmp_path / "access.log")], timeout=60)
    finally:
        os.umask(before)
    assert (tmp_path / "access.log").stat().st_mode & 0o777 == 0o644
