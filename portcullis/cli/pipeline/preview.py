"""A preview of a stack, and what it says, for people and programs. It changes nothing."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from portcullis.cli import command
from portcullis.cli.report import engine, render
from portcullis.cli.report.differences import Report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LIMIT = 900.0
"""Seconds that a preview may take."""
_VERDICTS = (0, 1)
"""Exit codes of the judge: nothing stops the stack, a policy does. Any other: it could not judge."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What one preview of a stack said.

    Attributes:
        stack: the stack's name.
        report: what differs, or why that cannot be told.
        steps: what happens to each resource, in the form of `pulumi preview --json`; empty where it failed.
        code_only: no host was asked; why.
        verdict: what the policies say, empty where they were not asked.
        stopped: a policy stops it, or the pack could not judge.
    """

    stack: str
    report: Report
    steps: Mapping[str, Any] = field(default_factory=dict, repr=False)
    code_only: str = ""
    verdict: str = ""
    stopped: bool = False

    @property
    def ok(self) -> bool:
        """Whether it came to its end."""
        return self.report.ok

    @property
    def is_clean(self) -> bool:
        """Whether the stack is what the code says."""
        return self.report.is_clean

    @property
    def text(self) -> str:
        """Everything that differs, with its properties; where it failed, why."""
        return render.text(self.report, details=True)


def failed(stack: str, said: str, code_only: str = "") -> Preview:
    """Return a preview that could not be made, and why."""
    errors = engine.errors_of(said) or [said.strip()]
    return Preview(stack, Report(stack, errors=tuple(errors)), code_only=code_only)


def look(
    stack: str,
    *,
    folder: Path,
    environment: Mapping[str, str],
    arguments: Sequence[str] = (),
    code_only: str = "",
    judge: bool = False,
) -> Preview:
    """Preview a stack.

    Args:
        stack: the stack's name.
        folder: of the project.
        environment: of the commands.
        arguments: more arguments of `pulumi preview`.
        code_only: why no host is asked; then the state stands for it. Empty: the hosts are read.
        judge: have the policy pack judge what would be there.
    """
    given = [*arguments, *(["--refresh=false"] if code_only else [])]
    words = ["preview", "--stack", stack, *given]
    report, collector = engine.run(words, folder=folder, environment=environment, limit=LIMIT)
    report = replace(report, stack=stack)
    if not report.ok:
        return Preview(stack, report, code_only=code_only)
    verdict, stopped = judged(stack, folder, environment) if judge else ("", False)
    return Preview(stack, report, {"steps": collector.steps()}, code_only, verdict, stopped)


def judged(stack: str, folder: Path, environment: Mapping[str, str]) -> tuple[str, bool]:
    """Return what the policies say of a stack, and whether that stops it.

    By the judge, whose verdicts are those of an engine with the policy pack: so every engine will do.
    """
    done = _asked([sys.executable, "-m", "portcullis", "policy", "--stack", stack], folder, environment)
    # What the program itself warns of goes to the other stream, and is no verdict.
    said = done.stdout if done.returncode in _VERDICTS else done.stdout + done.stderr
    return said.strip(), done.returncode != 0


def run(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run pulumi without a person; one that cannot be run, or not in time, answers with an error."""
    return _asked(["pulumi", *arguments, "--non-interactive", "--color", "never"], folder, environment)


def _asked(
    argv: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=LIMIT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 1, "", f"error: {argv[0]} took longer than {LIMIT:.0f} s\n")
    except OSError as error:
        told = f"error: {argv[0]} cannot be started: {error}\n  → {command.INSTALL}\n"
        return subprocess.CompletedProcess(argv, 127, "", told)
