"""Functions that the tools share: paths of the checkout and the cache, and long steps with progress.

This module imports the standard library only, because it runs with the machine's own Python, before a virtual
environment exists.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
_PROGRESS_SECONDS = 10.0
_TAIL_LINES = 25


class StepError(Exception):
    """A step that failed. The message has the failed step, the cause and the remedy."""


def cache() -> Path:
    """Return the folder for all downloads and builds. All checkouts of a user share this folder."""
    named = os.environ.get("PORTCULLIS_CACHE")
    return Path(named).expanduser().absolute() if named else Path.home() / ".cache" / "portcullis"


def say(line: str) -> None:
    """Print a line for people. The line goes to stderr, because stdout is for the answer of a command."""
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Let only one process at a time make `what` in `folder`. Other processes wait until `what` is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"==> another process is making {what}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ask(
    argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, limit: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run one short command and return its answer.

    If the command cannot be run, the answer has code 127. `env` is added to the environment. `limit` is in
    seconds.
    """
    try:
        return subprocess.run(
            argv,
            check=False,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=limit,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, 127, "", str(error))


def step(
    title: str,
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    counted: str = "",
    hint: str = "",
    limit: float = 3600,
) -> None:
    """Run one long command quietly, with a line of progress every ten seconds.

    `counted` says what a line of output stands for, such as "packages fetched". With `counted`, the progress
    is the number of lines so far. Without `counted`, the progress is the last line. `env` is added to the
    environment. `limit` is in seconds.

    Raises:
        StepError: the command cannot be started, took too long, or failed. After a failure, the message has
            the end of the output.

    """
    say(f"==> {title}")
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        message = f"{title}: there is no command {argv[0]!r} on this machine. {hint}".rstrip()
        raise StepError(message) from error
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    seen = 0

    def collect() -> None:
        nonlocal seen
        assert process.stdout is not None  # noqa: S101 (see PIPE above)
        with process.stdout as output:
            for line in output:
                seen += 1
                tail.append(line.rstrip("\n"))

    reader = threading.Thread(target=collect, daemon=True)
    reader.start()
    try:
        while True:
            try:
                code = process.wait(_PROGRESS_SECONDS)
                break
            except subprocess.TimeoutExpired:
                passed = time.monotonic() - began
                say(f"    {passed:4.0f} s  {f'{seen} {counted}' if counted else _last(tail)}")
                if passed > limit:
                    raise StepError(f"{title}: not done after {limit:.0f} s. {hint}".rstrip()) from None
    finally:
        if process.poll() is None:  # we were interrupted: stop the command too
            process.terminate()
            process.wait()
    reader.join(_PROGRESS_SECONDS)
    if code != 0:
        end = "\n".join(f"    {line}" for line in tail)
        raise StepError(f"{title} failed ({argv[0]} exited with {code}):\n{end}\n{hint}".rstrip())
    say(f"    done in {time.monotonic() - began:.0f} s")


def _last(tail: deque[str]) -> str:
    return tail[-1].strip()[:90] if tail else ""


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """If a step fails, end the program with one message for people. Ctrl-C shows no traceback."""
    try:
        yield
    except StepError as error:
        say(f"\nerror: {error}")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        say("\ninterrupted")
        raise SystemExit(130) from None
