"""Run Pulumi's engine and pass on its events as they come."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import replace
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
_YAML = re.compile(r"yaml: (?:line (?P<line>\d+): )?(?P<cause>[^\n]*)")
_FILE = re.compile(r"Pulumi[\w.-]*\.ya?ml\b")
_TYPE = re.compile(r"configuration key '(?P<key>[^']+)' must be of type '(?P<type>\w+)'")
_KINDS = {"object": "a map, with a line for each entry", "array": "a list", "string": "a text"}


def run(
    words: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    limit: float | None = None,
    on_event: Callable[[Event], None] = lambda _: None,
) -> tuple[Report, Collector]:
    """Run a verb of the engine. Return the report, and the collector that made it.

    Args:
        words: the verb and its flags.
        folder: the project's folder; the working folder by default.
        environment: the engine's environment; that of this process by default.
        limit: seconds that the engine may take.
        on_event: is called with each event when it comes.
    """
    begun = time.monotonic()
    collector = Collector()
    given = {
        **(os.environ if environment is None else environment),
        "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "1",
    }
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as beside,
        ignore_interrupt() as interrupted,
    ):
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

        def take_line(line: str) -> None:
            event = events.read(line)
            if event is not None:
                collector.take(event)
                on_event(event)
            elif not line.startswith("{"):
                other.append(line)

        code, late = _read_lines(process, take_line, limit)
        beside.seek(0)
        said = beside.read() + "".join(other)
    seconds = time.monotonic() - begun
    nothing_said = f"pulumi {words[0]} ended with exit code {code}"
    errors = [] if code == 0 else errors_of(said, _stack(words)) or [nothing_said]
    if late:
        errors = [f"pulumi {words[0]} took longer than {limit:.0f} s"]
    report = collector.report(seconds, errors, failed=bool(errors))
    return replace(report, interrupted=interrupted.is_set()), collector


def _read_lines(
    process: subprocess.Popen[str], take_line: Callable[[str], None], limit: float | None
) -> tuple[int, bool]:
    """Pass on each line that a program prints.

    Return the program's exit code, and whether it took too long.
    """
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
                take_line(line)
        except BaseException:
            process.kill()
            raise
        finally:
            if timer:
                timer.cancel()
    return process.returncode, late.is_set()


def errors_of(said: str, stack: str = "") -> list[str]:
    """Return the errors that Pulumi's engine prints outside its events.

    Faults in a file of settings get the form of our own messages about settings.

    Args:
        said: everything that Pulumi's engine printed outside its events.
        stack: the stack's name. If the stack's file is not YAML, Pulumi's engine does not name the file, so
            we do.
    """
    found = []
    for message in _ERROR.findall(said):
        yaml, typed = _YAML.search(message), _TYPE.search(message)
        if yaml:
            named = _FILE.search(message)
            file = named[0] if named else f"Pulumi.{stack}.yaml" if stack else "the stack's file"
            place = f"{file}, line {yaml['line']}" if yaml["line"] else file
            found.append(f"The settings of this stack have a fault:\n  {place}: is not YAML: {yaml['cause']}")
        elif typed:
            kind = _KINDS.get(typed["type"], typed["type"])
            found.append(f"The settings of this stack have a fault:\n  {typed['key']}: must be {kind}")
        else:
            found.append(message)
    return found


def _stack(words: Sequence[str]) -> str:
    return next((after for word, after in pairwise(words) if word == "--stack"), "")


@contextlib.contextmanager
def ignore_interrupt() -> Iterator[threading.Event]:
    """Ignore Ctrl-C in this process, but set an event when the user presses it.

    Pulumi's engine gets Ctrl-C too and ends by itself, so we still report its last messages.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
