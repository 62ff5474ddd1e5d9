"""Runs a command and keeps what it says, for local and remote commands alike."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import IO

_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()
_END_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left: its status and output; `both` is the two outputs as they came."""

    status: int
    stdout: str
    stderr: str
    both: str


def run(
    argv: list[str],
    *,
    stdin: str,
    show: Callable[[str, str], None],
    environment: Mapping[str, str] | None = None,
    folder: str | None = None,
) -> Outcome:
    """Run it to its end. `show` gets every line as it comes, with "stdout" or "stderr".

    Raises:
        OSError: it cannot be started.
    """
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment} if environment else None,
        cwd=folder,
        start_new_session=True,  # so that its children can be ended with it
    )
    with _lock:
        _running.add(process)
    both: list[bytes] = []
    parts: dict[str, list[bytes]] = {"stdout": [], "stderr": []}

    def collect(stream: IO[bytes], name: str) -> None:
        for line in stream:
            parts[name].append(line)
            both.append(line)
            show(name, line.decode(errors="replace").rstrip("\n"))

    assert process.stdout is not None  # noqa: S101 - pipes were asked for
    assert process.stderr is not None  # noqa: S101
    readers = [
        threading.Thread(target=collect, args=(stream, name), daemon=True)
        for stream, name in ((process.stdout, "stdout"), (process.stderr, "stderr"))
    ]
    for reader in readers:
        reader.start()
    if process.stdin is not None:
        try:
            process.stdin.write(stdin.encode())
            process.stdin.close()
        except BrokenPipeError:
            pass  # it need not read all of it
    for reader in readers:
        reader.join()
    status = process.wait()
    with _lock:
        _running.discard(process)
    return Outcome(status, _text(parts["stdout"]), _text(parts["stderr"]), _text(both))


def end_all() -> None:
    """End what still runs, with its children."""
    with _lock:
        processes = list(_running)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, number)
        for process in processes:
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def quoted(command: str) -> str:
    """The command as Go's %q writes it."""
    return json.dumps(command, ensure_ascii=False)


def _text(pieces: list[bytes]) -> str:
    return b"".join(pieces).decode(errors="replace")
