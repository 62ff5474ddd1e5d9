"""Runs the engine, and hands its events over as they come."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

from portcullis.cli import command
from portcullis.cli.report import events
from portcullis.cli.report.differences import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from portcullis.cli.report.differences import Report
    from portcullis.cli.report.events import Event

_QUIET = ("--json", "--non-interactive", "--color", "never")
_ERROR = re.compile(r"^error: (.*(?:\n(?!error: |warning: ).+)*)", re.MULTILINE)
_YAML = re.compile(r"yaml: (?:line (?P<line>\d+): )?(?P<what>[^\n]*)")
_FILE = re.compile(r"Pulumi[\w.-]*\.ya?ml\b")
_TYPE = re.compile(r"configuration key '(?P<key>[^']+)' must be of type '(?P<type>\w+)'")
_KINDS = {"object": "a map, with a line for each entry", "array": "a list", "string": "a text"}


def run(
    words: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    limit: float | None = None,
    heard: Callable[[Event], None] = lambda _: None,
) -> tuple[Report, Collector]:
    """Run a verb of the engine's, and return what it found.

    Args:
        words: the verb and its flags.
        folder: of the project; the working folder by default.
        environment: of the engine; this process's by default.
        limit: seconds that it may take.
        heard: is given each event when it comes.
    """
    begun = time.monotonic()
    collector = Collector()
    given = {
        **(os.environ if environment is None else environment),
        "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "1",
    }
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as beside, _outlive_interrupt():
        try:
            process = subprocess.Popen(
                ["pulumi", *words, *_QUIET], cwd=folder, env=given, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=beside, text=True, errors="replace",
            )  # fmt: skip
        except OSError as error:
            said = command.HINT.removeprefix("error: ").strip()
            missing = isinstance(error, FileNotFoundError)
            return collector.report(
                errors=[said if missing else f"pulumi cannot be started: {error}"]
            ), collector
        other = []

        def hear(line: str) -> None:
            event = events.read(line)
            if event is not None:
                collector.take(event)
                heard(event)
            elif not line.startswith("{"):
                other.append(line)

        code, late = _listen(process, hear, limit)
        beside.seek(0)
        said = beside.read() + "".join(other)
    seconds = time.monotonic() - begun
    errors = [] if code == 0 else errors_of(said, _stack(words)) or [f"pulumi {words[0]} ended with {code}"]
    if late:
        errors = [f"pulumi {words[0]} took longer than {limit:.0f} s"]
    return collector.report(seconds, errors, failed=bool(errors)), collector


def _listen(
    process: subprocess.Popen[str], hear: Callable[[str], None], limit: float | None
) -> tuple[int, bool]:
    """Hand over each line that a program prints; return its exit code, and whether it took too long."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(limit, stop) if limit else None
    if timer:
        timer.start()
    with process:
        try:
            for line in process.stdout or ():
                hear(line)
        except BaseException:
            process.kill()
            raise
        finally:
            if timer:
                timer.cancel()
    return process.returncode, late.is_set()


def errors_of(said: str, stack: str = "") -> list[str]:
    """Return what the engine says beside its events, in the form of all faults of settings.

    Args:
        said: all of it.
        stack: the stack's name, which the engine leaves out where its file is no YAML.
    """
    found = []
    for message in _ERROR.findall(said):
        yaml, typed = _YAML.search(message), _TYPE.search(message)
        if yaml:
            named = _FILE.search(message)
            file = named[0] if named else f"Pulumi.{stack}.yaml" if stack else "the stack's file"
            place = f"{file}, line {yaml['line']}" if yaml["line"] else file
            found.append(f"The settings of this stack have a fault:\n  {place}: is not YAML: {yaml['what']}")
        elif typed:
            kind = _KINDS.get(typed["type"], typed["type"])
            found.append(f"The settings of this stack have a fault:\n  {typed['key']}: must be {kind}")
        else:
            found.append(message)
    return found


def _stack(words: Sequence[str]) -> str:
    return next((after for word, after in pairwise(words) if word == "--stack"), "")


@contextlib.contextmanager
def _outlive_interrupt() -> Iterator[None]:
    """Let the engine end by itself: Ctrl-C reaches it too, and what it then says is still to be told."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
