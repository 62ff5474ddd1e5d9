"""Runs the inventory drill: root changes a host by hand.

The report has a line for each change. `up` mends what the lines promise. Their commands take back the rest.
"""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

import pytest

from lab import machine
from tests import drill
from tests.e2e.inventory import report
from tests.e2e.inventory.changes import CHANGES, Change
from tests.e2e.stack.program import PAGE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tests.e2e.stack.program import Program

TOGETHER = {name: change for name, change in CHANGES.items() if not change.apart}
# userdel, which `up` runs here, resets the modes of these two files.
UP = {name: TOGETHER[name] for name in TOGETHER if name not in ("mode-of-passwd", "mode-of-shadow")}
STAYING = {name: change for name, change in UP.items() if change.stays}
PASTED = {name: change for name, change in STAYING.items() if change.paste}
ALONE = sorted({*drill.drawn(CHANGES), *(CHANGES.keys() - TOGETHER.keys())})


@contextlib.contextmanager
def made(program: Program, changes: Mapping[str, Change]) -> Iterator[dict[str, Change]]:
    """Make the changes on the host. Yield those that are not yet undone.

    At the end of the block undo these. A failed undo fails the test.
    """
    left: dict[str, Change] = {}
    try:
        for name, change in changes.items():
            left[name] = change
            _make(program, name, change)
        if any(change.walk for change in changes.values()):
            report.walk(program)
        yield left
    finally:
        errors = _undo(program, left)
        if any(change.walk for change in changes.values()):
            report.walk(program)
        assert not errors, "\n".join(errors)


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


def _undo(program: Program, left: dict[str, Change], kept: Collection[str] = ()) -> list[str]:
    """Undo the changes, the last one first, but not those in `kept`. Return the errors."""
    errors = []
    for name in [name for name in reversed(left) if name not in kept]:
        change = left.pop(name)
        done = program.host.run(_command(program, change.undone), check=False)
        if done.returncode:
            errors.append(f"{change.undone}: {done.stdout}{done.stderr}")
    return errors


def _paste(program: Program, left: dict[str, Change], name: str, line: report.Line) -> None:
    """Run the command that the line of a change tells to paste."""
    done = program.host.run(line.command, check=False)
    assert done.returncode == 0, f"{name}: {line.command}: {done.stdout}{done.stderr}"
    del left[name]


def _command(program: Program, line: str) -> str:
    return line.replace("IMAGE", program.image("hello:1"))


def test_all_changes_together_are_told_and_none_twice(finished: Program) -> None:
    with made(finished, TOGETHER):
        told, follows = report.both(finished)
        verdict = report.judge(TOGETHER, told, follows)
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
    assert ", 0 changes in your code" in short[0]


def test_all_of_it_was_taken_back(finished: Program) -> None:
    report.quiet(finished)


@pytest.mark.parametrize("name", ALONE)
def test_a_change_alone_is_told_in_one_line(finished: Program, name: str) -> None:
    change = CHANGES[name]
    with made(finished, {name: change}) as left:
        verdict = report.judge({name: change}, *report.both(finished))
        assert not verdict.faults, verdict
        if change.paste and change.stays:
            _paste(finished, left, name, verdict.shown[name])
    report.quiet(finished, f"after {name}")


def test_an_up_mends_what_the_lines_promise_and_their_commands_take_back_the_rest(finished: Program) -> None:
    redis = report.run_of(finished, "redis")
    with made(finished, UP) as left:
        verdict = report.judge(UP, *report.both(finished))
        assert not verdict.faults, verdict
        said = report.text(finished, "--yes", verb="up")
        for name in UP.keys() - STAYING.keys():
            del left[name]
        stayed = said[said.index("left as it is, for you to decide:") :]
        ticked = [line for line in said if "✓" in line]
        for name, line in verdict.shown.items():
            where = stayed if name in STAYING else ticked
            assert [one for one in where if f"{line.subject}: {line.what}" in one], (line.text, where)
        verdict = report.judge(STAYING, *report.both(finished))
        assert not verdict.faults, verdict
        assert PAGE in finished.page()
        assert report.run_of(finished, "redis") == redis, "its network and its restart policy need no new run"
        assert not _undo(finished, left, PASTED)
        for name in PASTED:
            _paste(finished, left, name, verdict.shown[name])
    for verb in (["up", "--yes"], ["preview"]):
        (line,) = report.text(finished, *verb[1:], verb=verb[0])
        assert report.NOTHING.fullmatch(line), line
