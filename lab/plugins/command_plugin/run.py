"""Runs a command and keeps its output."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()
_END_SECONDS = 2
_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """The status and the output of a command.

    `both` has standard output and standard error in the order of their arrival.
    """

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
    """Run a command to its end. `show` gets each line when it comes, with "stdout" or "stderr".

    Raises:
        OSError: the command cannot be started.
    """
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment} if environment else None,
        cwd=folder,
        start_new_session=True,  # a session of its own, so that the command's children can be ended with it
    )
    with _lock:
        _running.add(process)
    writer = threading.Thread(target=_feed, args=(process, stdin.encode()), daemon=True)
    writer.start()
    try:
        return _collect(process, show)
    finally:
        process.wait()
        writer.join()
        with _lock:
            _running.discard(process)


def _feed(process: subprocess.Popen[bytes], content: bytes) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin as stream:
            stream.write(content)  # the command may end before it has read all of its input


def _collect(process: subprocess.Popen[bytes], show: Callable[[str, str], None]) -> Outcome:
    """Read both outputs in one loop, to keep their order. If both have data, read stdout first."""
    names = ("stdout", "stderr")
    parts: dict[str, list[bytes]] = {name: [] for name in names}
    rest = dict.fromkeys(names, b"")
    both: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        for name in names:
            selector.register(getattr(process, name), selectors.EVENT_READ, name)
        while selector.get_map():
            for key, _ in sorted(selector.select(), key=lambda ready: names.index(ready[0].data)):
                piece = os.read(key.fd, _PIECE)
                if not piece:
                    selector.unregister(key.fileobj)
                    getattr(process, key.data).close()
                parts[key.data].append(piece)
                both.append(piece)
                *lines, rest[key.data] = (rest[key.data] + piece).split(b"\n")
                if not piece and rest[key.data]:
                    lines.append(rest[key.data])
                for line in lines:
                    show(key.data, line.decode(errors="replace"))
    return Outcome(process.wait(), _text(parts["stdout"]), _text(parts["stderr"]), _text(both))


def end_all() -> None:
    """End all running commands with their children."""
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
    """Quote the command like Go's %q."""
    return json.dumps(command, ensure_ascii=False)


def _text(pieces: list[bytes]) -> str:
    return b"".join(pieces).decode(errors="replace")
