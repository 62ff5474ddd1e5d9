"""Runs commands: only argument lists, always with a time limit, and one clear line if they fail."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(
    argv: Sequence[str],
    *,
    timeout: float = 120,
    text: str | None = None,
    check: bool = True,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``argv`` for at most ``timeout`` seconds, with ``text`` on its standard input.

    Raises:
        LabError: the program is missing, took too long, or (with ``check``) failed; its last line is quoted.
    """
    try:
        # Without text the input is empty, never the terminal: nothing here may stop to ask a question.
        done = subprocess.run(
            list(argv),
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env=env,
        )
    except FileNotFoundError as error:
        raise LabError(f"the program {argv[0]} is not installed", "run `make setup`") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"the command {_short(argv)} took longer than {timeout:.0f} s") from error
    if check and done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise LabError(
            f"the command {_short(argv)} failed (exit code {done.returncode}): "
            f"{lines[-1] if lines else 'no output'}"
        )
    return done


def _short(argv: Sequence[str]) -> str:
    line = " ".join(argv)
    return f"`{line[:120]}…`" if len(line) > 120 else f"`{line}`"  # noqa: PLR2004


class Progress:
    """Prints lines about long steps on standard error, with the seconds since the start."""

    def __init__(self) -> None:
        """Start the count of seconds."""
        self._start = time.monotonic()

    def say(self, line: str) -> None:
        """Print one line."""
        print(f"lab {time.monotonic() - self._start:5.1f}s  {line}", file=sys.stderr, flush=True)
