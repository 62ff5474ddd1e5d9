"""A preview of a stack, and what it says, for people and programs. It changes nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portcullis.cli import command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LIMIT = 900.0
"""Seconds that a preview may take."""
_VERDICTS = (0, 1)
"""Exit codes of the judge: nothing stops the stack, a policy does. Any other: it could not judge."""
_QUIET = ("same", "read", "refresh")
_ERROR = re.compile(r"^\s*(?:error|\[diagnostic\] error): ?(.*)$", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Preview:
    """What one preview of a stack said.

    Attributes:
        stack: the stack's name.
        ok: it came to its end.
        changes: how many resources would be created, updated, replaced, deleted; nothing of those that stay.
        text: the differences, as Pulumi prints them; where it failed, all that it printed.
        steps: what `pulumi preview --json` gives, empty where it failed.
        code_only: no host was asked; why.
        verdict: what the policies say, empty where they were not asked.
        stopped: a policy stops it, or the pack could not judge.
    """

    stack: str
    ok: bool
    changes: Mapping[str, int]
    text: str
    steps: Mapping[str, Any] = field(repr=False)
    code_only: str = ""
    verdict: str = ""
    stopped: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether the stack is what the code says."""
        return self.ok and not self.changes

    @property
    def failure(self) -> str:
        """What went wrong, in the words of the error; all of the output's end where there are none."""
        told = [line for found in _ERROR.finditer(self.text) if (line := _with_more(self.text, found))]
        # The engine closes with lines that only say that there was an error.
        told = [
            line
            for line in told
            if not line.startswith(("preview failed", "an unhandled error", "update failed"))
        ]
        return "\n".join(dict.fromkeys(told)) or "\n".join(self.text.splitlines()[-15:])


def _with_more(text: str, found: re.Match[str]) -> str:
    """The message of an error, with the lines that are further in than its first."""
    indent = len(found[0]) - len(found[0].lstrip())
    lines = [found[1]]
    for line in text[found.end() + 1 :].splitlines():
        if not line.strip() or len(line) - len(line.lstrip()) <= indent:
            break
        lines.append(line.strip())
    return "\n".join(lines).strip()


def look(
    stack: str,
    *,
    folder: Path,
    environment: Mapping[str, str],
    arguments: Sequence[str] = (),
    code_only: str = "",
    judge: bool = False,
) -> Preview:
    """Preview a stack twice: once for people, and once for programs.

    Args:
        stack: the stack's name.
        folder: of the project.
        environment: of the commands.
        arguments: more arguments of `pulumi preview`.
        code_only: why no host is asked; then the state stands for it. Empty: the hosts are read.
        judge: have the policy pack judge what would be there.
    """
    given = [*arguments, *(["--refresh=false"] if code_only else [])]
    shown = run(["preview", "--stack", stack, "--diff", *given], folder, environment)
    text = _COLOUR.sub("", shown.stdout + shown.stderr)
    if shown.returncode:
        return Preview(stack, ok=False, changes={}, text=text, steps={}, code_only=code_only)
    asked = run(["preview", "--stack", stack, "--json", *given], folder, environment)
    try:
        steps = json.loads(asked.stdout)
    except ValueError:
        steps = {}
    if asked.returncode or not steps:
        text = _COLOUR.sub("", asked.stderr or asked.stdout)
        return Preview(stack, ok=False, changes={}, text=text, steps={}, code_only=code_only)
    summary = steps.get("changeSummary") or {}
    changes = {
        operation: count for operation, count in sorted(summary.items()) if operation not in _QUIET and count
    }
    verdict, stopped = judged(stack, folder, environment) if judge else ("", False)
    return Preview(
        stack,
        ok=True,
        changes=changes,
        text=text,
        steps=steps,
        code_only=code_only,
        verdict=verdict,
        stopped=stopped,
    )


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
