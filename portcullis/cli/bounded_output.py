"""Run a program, such as ssh, and limit the size of its output: the other machine is not trusted."""

from __future__ import annotations

import subprocess
import tempfile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_OUTPUT = 64 << 20
"""Bytes. More output from another machine could fill our memory."""
_BLOCK = 512
"""The unit of `ulimit -f`, in bytes. A shell with a larger unit stops the program later."""


class OutputTooLong(Exception):
    """The program printed more than `MAX_OUTPUT`. The text says so, for people."""


def run_bounded(
    argv: Sequence[str], text: str = "", timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it prints.

    Args:
        argv: program and arguments.
        text: the program's standard input.
        timeout: seconds.

    Raises:
        OutputTooLong: it printed too much.
        subprocess.TimeoutExpired: it took too long.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(text.encode())
        given.seek(0)
        # The shell sets the limit. A preexec_fn would run the fork handlers of this process, and gRPC's may
        # write into the output.
        limited = ["sh", "-c", f'ulimit -f {MAX_OUTPUT // _BLOCK} && exec "$@"', "sh", *argv]
        done = subprocess.run(limited, stdin=given, stdout=out, stderr=err, timeout=timeout, check=False)
        texts = [_text(file) for file in (out, err)]
    return subprocess.CompletedProcess(list(argv), done.returncode, *texts)


def _text(file: IO[bytes]) -> str:
    if file.seek(0, 2) >= MAX_OUTPUT:
        raise OutputTooLong(f"it printed more than {MAX_OUTPUT >> 20} MB, which is the limit")
    file.seek(0)
    return file.read().decode("utf-8", "replace")
