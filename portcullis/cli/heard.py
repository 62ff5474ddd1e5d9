"""What another machine says over ssh: all of it, or an error where it is too much."""

from __future__ import annotations

import resource
import subprocess
import tempfile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 64 << 20
"""Bytes. What a machine says is not trusted, and would fill our memory."""


class TooMuch(Exception):
    """It said more than `MOST`; the text says so, for people."""


def heard(
    argv: Sequence[str], said: str = "", timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it prints.

    Args:
        argv: program and arguments.
        said: what it reads.
        timeout: seconds.

    Raises:
        TooMuch: it printed too much.
        subprocess.TimeoutExpired: it took too long.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(said.encode())
        given.seek(0)
        done = subprocess.run(
            list(argv), stdin=given, stdout=out, stderr=err, timeout=timeout, check=False,
            preexec_fn=_bound,
        )  # fmt: skip
        texts = [_text(file) for file in (out, err)]
    return subprocess.CompletedProcess(list(argv), done.returncode, *texts)


def _bound() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, MOST))


def _text(file: IO[bytes]) -> str:
    if file.seek(0, 2) >= MOST:
        raise TooMuch(f"it said more than {MOST >> 20} MB, and was not listened to any more")
    file.seek(0)
    return file.read().decode("utf-8", "replace")
