"""Runs `portcullis` as people do, and compares its report with changes that the test made by hand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.e2e.inventory.changes import holds, tells
from tests.e2e.project import STACK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.e2e.inventory.changes import Change
    from tests.e2e.stack.program import Program

WALK = "portcullis-inventory"
"""The unit of the nightly walk, without its type."""
NOTHING = re.compile(r"web1: no differences in \d+ resources \(\d+ s\)")
"""All that a preview or an `up` says if there is no difference."""
_YOURSELF = re.compile(r"stays; [^:]* yourself: (.*)", re.DOTALL)
_SAME, _DIFFERENT = 0, 2  # exit codes
_NOISE = ("Traceback", "KeyboardInterrupt", "from $PATH", "urn:pulumi")


@dataclass(frozen=True)
class Line:
    """One difference in the report of a preview."""

    subject: str
    what: str
    remedy: str

    @property
    def text(self) -> str:
        return f"{self.subject}: {self.what} — {self.remedy}"

    @property
    def command(self) -> str:
        """The command in the line that undoes the change. The text is empty if the line has no command."""
        found = _YOURSELF.fullmatch(self.remedy)
        return found[1] if found else ""


def lines(program: Program) -> list[Line]:
    """Run a preview as JSON. Return all differences, without grouping."""
    return both(program)[0]


def both(program: Program) -> tuple[list[Line], list[Line]]:
    """Run a preview as JSON. Return all differences, and those that only follow from them."""
    said = read(program, "--json")
    found: Mapping[str, Any] = json.loads(said.stdout)
    assert not found["errors"], found["errors"]
    told, follows = (
        [Line(*(str(one[name]) for name in Line.__dataclass_fields__)) for one in found[part]]
        for part in ("differences", "follows")
    )
    assert said.returncode == (_DIFFERENT if told else _SAME), said
    return told, follows


def text(program: Program, *arguments: str, verb: str = "preview") -> list[str]:
    """Run a verb without a terminal. Return the lines as people read them."""
    said = read(program, *arguments, verb=verb)
    assert said.returncode in (_SAME, _DIFFERENT), said.stdout + said.stderr
    return said.stdout.splitlines()


def quiet(program: Program, after: str = "") -> None:
    """Assert that a preview finds no difference."""
    told = [line.text for line in lines(program)]
    assert not told, f"{after}: {told}" if after else told


def walk(program: Program) -> float:
    """Do what the timer does every night; return the seconds that it took."""
    begun = time.monotonic()
    program.host.run(["systemctl", "start", f"{WALK}.service"])
    return time.monotonic() - begun


def run_of(program: Program, container: str) -> tuple[str, str]:
    """Return what changes if a container is replaced or started again."""
    found = program.inspect(container)
    return found["Id"], found["State"]["StartedAt"]


def read(program: Program, *arguments: str, verb: str = "preview") -> subprocess.CompletedProcess[str]:
    """Run a verb without a terminal. What it prints is for people, or JSON."""
    said = subprocess.run(
        [sys.executable, "-m", "portcullis", verb, "--stack", STACK, *arguments],
        cwd=program.folder, env=program.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=600,
    )  # fmt: skip
    printed = said.stderr if "--json" in arguments else said.stdout + said.stderr
    assert not [noise for noise in _NOISE if noise in printed], printed
    return said


@dataclass
class Verdict:
    """The result of a comparison between a report and the changes that the test made."""

    faults: list[str] = field(default_factory=list)
    shown: dict[str, Line] = field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join(self.faults)


def judge(changes: Mapping[str, Change], told: list[Line], following: Sequence[Line] = ()) -> Verdict:
    """Compare a report with changes: it has to show each change once, and nothing else.

    `following` are the differences that the report leaves out, because they follow from others.
    """
    verdict = Verdict()
    claimed: dict[int, str] = {}
    for name, change in changes.items():
        for words in (change.shown, *change.also):
            at = [number for number, line in enumerate(told) if tells(line.subject, line.text, words)]
            if len(at) != 1:
                times = f"{len(at)} times" if at else "not shown"
                verdict.faults.append(f"{name}: {' '.join(words)}: {times}" + _listed(told, at))
            elif words is change.shown:
                verdict.shown[name] = told[at[0]]
                verdict.faults += _wrong_remedy(name, change, told[at[0]])
            for number in at:
                if (other := claimed.setdefault(number, name)) != name:
                    verdict.faults.append(f"{name}: {other} has the same line: {told[number].text}")
        verdict.faults += [
            f"{name}: {' '.join(words)}: does not follow; these do: {[line.text for line in following]}"
            for words in change.follows
            if not any(tells(line.subject, line.text, words) for line in following)
        ]
    may = [words for change in changes.values() for words in change.may]
    for number, line in enumerate(told):
        if number not in claimed and not any(holds(line.text, words) for words in may):
            verdict.faults.append(f"a line without a change: {line.text}")
    return verdict


def _wrong_remedy(name: str, change: Change, line: Line) -> list[str]:
    found = []
    if line.remedy.startswith("stays") != change.stays:
        found.append(f"{name}: wrong remedy: {line.text}")
    if change.paste and not line.command:
        found.append(f"{name}: no command to paste: {line.text}")
    if change.theirs and line.command:
        found.append(f"{name}: a user could redirect the command: {line.text}")
    return found


def _listed(told: list[Line], at: list[int]) -> str:
    return "".join(f"\n    {told[number].text}" for number in at)
