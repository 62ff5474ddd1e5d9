"""Runs a command and keeps what it says."""

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
            stream.write(content)  # the command need not read all of it


def _collect(process: subprocess.Popen[bytes], show: Callable[[str, str], None]) -> Outcome:
    """Read both outputs in one loop, stdout first when both have something, to keep their order."""
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
