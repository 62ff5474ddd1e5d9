"""Run programs without a shell, with a time limit, and with limited output."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LONGEST = 6 * 3600.0
"""The default time limit of a program, in seconds."""
RUN = 6 * 3600.0
"""The seconds in which one run of the job backs up all stores. Copies may take as long again."""
_TAIL = 12
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
}


class Failed(Exception):
    """An error that the job reports to people. The text of the error says what failed."""


@dataclass
class _Share:
    """What one store may use, so that a slow or growing store leaves time and space for the others.

    Attributes:
        ends: the time of `time.monotonic` at which its backup must be complete.
        reserved: the bytes of the disk that the stores after it need. An equal part of the free space is its
            own in any case.
        stores: the number of stores that are not backed up yet.
    """

    ends: float = float("inf")
    reserved: int = 0
    stores: int = 1

    def check(self) -> float:
        """Return the seconds that are left. Raises `Failed` if none is left."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise Failed("the backup took longer than this store's share of the time")
        return left


share = _Share()
"""The share of the store that is backed up now. Without one, as in a restore, only `LONGEST` limits."""


@dataclass(frozen=True)
class Done:
    """The exit code and the output of a program."""

    code: int
    out: str
    err: str

    @property
    def tail(self) -> str:
        """The last lines of the output, after the first errors."""
        lines = [line for line in f"{self.out}\n{self.err}".splitlines() if line.strip()]
        errors = [line for line in lines[:-_TAIL] if re.search(r"\b(?:error|fatal):", line, re.IGNORECASE)]
        return "\n".join([*errors[:2], *lines[-_TAIL:]])


def run(
    argv: Sequence[str],
    *,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    timeout: float = LONGEST,
    env: Mapping[str, str] | None = None,
    cleans: bool = False,
) -> Done:
    """Run a program to its end.

    Args:
        argv: program and arguments. There is no shell, and no argument is a secret.
        stdin: the program's input, from the file's present position; no input by default.
        stdout: the file for the program's output, if the output is not text for `Done.out`. It may fill the
            free space of its file system, except for a twentieth and for what the other stores need.
        timeout: seconds after which the program is killed.
        env: variables in addition to a plain environment.
        cleans: whether the program cleans up. Then it may run after the store's share of the time.

    Raises:
        Failed: the program does not exist, took too long, or wrote more than there is space for.
    """
    room = _room(stdout) if stdout else 0
    timeout = timeout if cleans else min(timeout, share.check())
    # Files instead of pipes, so that nothing must read both at once. Error messages of dump tools are short.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            done = subprocess.run(
                list(argv),
                stdin=stdin or subprocess.DEVNULL,
                stdout=stdout or out,
                stderr=err,
                timeout=timeout,
                env={**_ENVIRONMENT, **(env or {})},
                cwd="/",
                check=False,
                preexec_fn=(lambda: _bound(room)) if stdout else None,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"the command {argv[0]} did not end within {timeout / 60:g} minutes") from None
        except OSError as error:
            raise Failed(f"cannot start the command {argv[0]}: {os.strerror(error.errno or 0)}") from None
        if stdout and os.fstat(stdout.fileno()).st_size >= room:
            raise Failed(f"the output of {argv[0]} does not fit into the free space of {room} bytes")
        return Done(done.returncode, _text(out), _text(err))


def _room(file: IO[bytes]) -> int:
    disk = os.fstatvfs(file.fileno())
    free = (disk.f_bavail - disk.f_blocks // 20) * disk.f_frsize
    return max(free - share.reserved, free // share.stores, 0)


def _bound(room: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))


def checked(argv: Sequence[str], what: str, **more: IO[bytes] | None) -> Done:
    """Run a program. If it fails, raise `Failed` with the task's name, `what`, and the program's output."""
    done = run(argv, **more)  # type: ignore[arg-type]
    if done.code != 0:
        raise Failed(f"{what} failed (exit code {done.code}):\n{done.tail}")
    return done


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(1024 * 1024).decode("utf-8", "replace")
