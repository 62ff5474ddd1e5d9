"""Preview a stack for a pipeline. The preview changes neither the hosts nor the state."""

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
_CHECKED = (0, 1)
"""Exit codes of `portcullis policy` after a check: 0, nothing stops the stack; 1, a policy does."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The result of one preview.

    Attributes:
        stack: the stack's name.
        report: the differences, or the errors.
        steps: the steps of all resources, in the format of `pulumi preview --json`; empty after a failure.
        code_only: why no host was asked; "" if the hosts were read.
        verdict: the findings of the policies; "" if they were not checked.
        stopped: a policy stops the stack, or the policies could not be checked.
    """

    stack: str
    report: Report
    steps: Mapping[str, Any] = field(default_factory=dict, repr=False)
    code_only: str = ""
    verdict: str = ""
    stopped: bool = False

    @property
    def ok(self) -> bool:
        """Whether the preview succeeded, perhaps without some hosts."""
        return self.report.ok

    @property
    def is_clean(self) -> bool:
        """Whether the stack matches the code."""
        return self.report.is_clean

    @property
    def text(self) -> str:
        """All differences with their properties, or the errors if the preview failed."""
        return render.text(self.report, details=True)


def failed(stack: str, output: str, code_only: str = "") -> Preview:
    """Return the result of a preview that failed, with the errors from the output of a command."""
    errors = engine.errors_of(output) or [output.strip()]
    return Preview(stack, Report(stack, errors=tuple(errors)), code_only=code_only)


def look(
    stack: str,
    *,
    folder: Path,
    environment: Mapping[str, str],
    arguments: Sequence[str] = (),
    code_only: str = "",
    policies: bool = False,
) -> Preview:
    """Preview a stack.

    Args:
        stack: the stack's name.
        folder: the project's folder.
        environment: the environment of the commands.
        arguments: more arguments of `pulumi preview`.
        code_only: why no host is asked; the preview then compares with the state. "" reads the hosts.
        policies: also check the stack against the policies.
    """
    given = [*arguments, *(["--refresh=false"] if code_only else [])]
    words = ["preview", "--stack", stack, *given]
    report, collector = engine.run(words, folder=folder, environment=environment, limit=LIMIT)
    report = replace(report, stack=stack)
    if not report.ok:
        return Preview(stack, report, code_only=code_only)
    verdict, stopped = check_policies(stack, folder, environment) if policies else ("", False)
    return Preview(stack, report, {"steps": collector.steps()}, code_only, verdict, stopped)


def check_policies(stack: str, folder: Path, environment: Mapping[str, str]) -> tuple[str, bool]:
    """Return the policies' findings about a stack, and whether a finding stops the stack.

    `portcullis policy` finds the same faults as Pulumi's engine with the policy pack. This check also works
    if Pulumi's engine cannot run a policy pack.
    """
    done = _run([sys.executable, "-m", "portcullis", "policy", "--stack", stack], folder, environment)
    # The program's own warnings are on standard error. These warnings are not findings of the policies.
    found = done.stdout if done.returncode in _CHECKED else done.stdout + done.stderr
    return found.strip(), done.returncode != 0


def run(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `pulumi` in a way that it asks no questions.

    If pulumi cannot start or takes too long, return an error as its result.
    """
    return _run(["pulumi", *arguments, "--non-interactive", "--color", "never"], folder, environment)


def _run(
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
        message = f"error: {argv[0]} cannot be started: {error}\n  → {command.INSTALL}\n"
        return subprocess.CompletedProcess(argv, 127, "", message)
