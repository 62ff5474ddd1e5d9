"""Runs the inventory drill.

Root changes a host in every known way, and the report has a line for each change.
"""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

import pytest

from lab import machine
from tests import drill
from tests.e2e.inventory import report
from tests.e2e.inventory.changes import CHANGES, Change, holds
from tests.e2e.project import STACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.e2e.stack.program import Program

TOGETHER = {name: change for name, change in CHANGES.items() if not change.apart}
PASTED = {name: change for name, change in TOGETHER.items() if change.paste and change.stays}


@contextlib.contextmanager
def made(program: Program, changes: Mapping[str, Change]) -> Iterator[None]:
    """Make the changes on the host.

    At the end of the block undo the changes: a failed undo fails the test.
    """
    done: list[Change] = []
    try:
        for name, change in changes.items():
            done.append(change)
            _make(program, name, change)
        if any(change.walk for change in changes.values()):
            report.walk(program)
        yield
    finally:
        left = [error for change in reversed(done) if (error := _undo(program, change))]
        if any(change.walk for change in done):
            report.walk(program)
        assert not left, "\n".join(left)


def _make(program: Program, name: str, change: Change) -> None:
    heard = None
    if change.neighbour:
        # It speaks while the host waits for what it says.
        says = change.neighbour.replace("HOST", _hardware_address(program))
        code = "import time\nend = time.monotonic() + 1200\n"
        code += f"while time.monotonic() < end:\n    exec({says!r})\n    time.sleep(0.25)"
        heard = subprocess.Popen(
            ["ip", "netns", "exec", machine.namespace("neighbour"), "python3", "-c", code],
            stdin=subprocess.DEVNULL,
        )
    try:
        done = program.host.run("set -e; " + _command(program, change.does), check=False)
    finally:
        if heard:
            heard.terminate()
            heard.wait(60)
    assert done.returncode == 0, f"{name}: the command failed: {done.stdout}{done.stderr}"


def _hardware_address(program: Program) -> str:
    return program.host.read("/sys/class/net/eth0/address").strip().replace(":", "")


def _undo(program: Program, change: Change) -> str:
    done = program.host.run(_command(program, change.undone), check=False)
    return "" if done.returncode == 0 else f"{change.undone}: {done.stdout}{done.stderr}"


def _command(program: Program, line: str) -> str:
    return line.replace("IMAGE", program.image("hello:1"))


@pytest.mark.timeout(1800)
def test_all_changes_together_are_told_and_none_twice(finished: Program) -> None:
    with made(finished, TOGETHER):
        told = report.lines(finished)
        verdict = report.judge(TOGETHER, told)
        people = report.text(finished, "--details")
        short = report.text(finished)
    assert not verdict.faults, f"{len(verdict.faults)} of {len(TOGETHER)}:\n{verdict}"
    assert len(verdict.shown) == len(TOGETHER) >= 80
    # People read the same; what many lines have in common may be one line.
    unsaid = [
        line.text for line in told if not any(f"{line.subject}: {line.what}" in said for said in people)
    ]
    assert not unsaid
    assert len(short) <= len(told) + 10, short


def test_all_of_it_was_taken_back(finished: Program) -> None:
    report.quiet(finished)


@pytest.mark.parametrize("name", drill.drawn(CHANGES))
def test_a_change_alone_is_told_in_one_line(finished: Program, name: str) -> None:
    changes = {name: CHANGES[name]}
    with made(finished, changes):
        verdict = report.judge(changes, report.lines(finished))
    assert not verdict.faults, verdict


@pytest.mark.timeout(1800)
def test_what_the_lines_say_to_paste_takes_it_back(finished: Program) -> None:
    said: dict[str, str] = {}
    done: list[str] = []
    try:
        for name, change in PASTED.items():
            done.append(name)
            _make(finished, name, change)
        report.walk(finished)
        verdict = report.judge(PASTED, report.lines(finished))
        assert not verdict.faults, verdict
        for name, line in verdict.shown.items():
            said[name] = line.command
            ran = finished.host.run(line.command, check=False)
            assert ran.returncode == 0, f"{name}: {line.command}: {ran.stdout}{ran.stderr}"
            done.remove(name)
        report.walk(finished)
        report.quiet(finished, f"after {said}")
    finally:
        for name in done:
            _undo(finished, PASTED[name])


def test_a_change_over_ssh_tells_who_was_logged_in(finished: Program) -> None:
    config = finished.folder / ".portcullis" / STACK / "ssh_config"
    made_by = "echo '* * * * * root true' | sudo tee /etc/cron.d/drill-who >/dev/null; sleep 2"
    subprocess.run(["ssh", "-F", config, "web1", made_by], check=True, timeout=60, stdin=subprocess.DEVNULL)
    try:
        (line,) = report.lines(finished)
    finally:
        finished.host.run("rm /etc/cron.d/drill-who")
    assert holds(line.text, ("/etc/cron.d/drill-who", "deploy", "lab")), line.text
