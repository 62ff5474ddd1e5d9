"""What the tools share: where the checkout and the cache are, and long steps that show progress.

Standard library only: this runs with the machine's own Python, before any virtual environment exists.
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
    """A step that cannot go on; the message says what failed, why, and what to do."""


def cache() -> Path:
    """Return the folder for everything that is downloaded or built, shared by all checkouts of a user."""
    named = os.environ.get("PORTCULLIS_CACHE")
    return Path(named).expanduser().absolute() if named else Path.home() / ".cache" / "portcullis"


def say(line: str) -> None:
    """Print a line for the person who waits; stdout stays free for what a command answers."""
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Let one process at a time make `what` in `folder`; the others wait and then find it made."""
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
    """Run one short command and return what it answers; one that cannot be run answers with code 127.

    `env` is added to the environment; `limit` is in seconds.
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

    The progress is the number of output lines so far where `counted` says what they are, else the last one.
    The end of the output is shown when the command fails. `env` is added to the environment; `limit` is in
    seconds.

    Raises:
        StepError: the command could not be started, failed (with the end of its output) or took too long.

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
        assert process.stdout is not None  # noqa: S101 (it was asked for above)
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
        if process.poll() is None:  # interrupted: do not leave it running
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
    """End the program with one message for people when a step fails, and without a traceback on Ctrl-C."""
    try:
        yield
    except StepError as error:
        say(f"\nerror: {error}")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        say("\ninterrupted")
        raise SystemExit(130) from None
