"""Starting programs: by argv, bounded in time, their output kept only as far as people need it."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOURS = 3600.0
_TAIL = 12
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
}


class Failed(Exception):
    """Something a person has to know; the text says it."""


@dataclass(frozen=True)
class Done:
    """How a program ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def tail(self) -> str:
        """The last lines of what it printed."""
        lines = [line for line in f"{self.out}\n{self.err}".splitlines() if line.strip()]
        return "\n".join(lines[-_TAIL:])


def run(
    argv: Sequence[str],
    *,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    timeout: float = 6 * HOURS,
    env: Mapping[str, str] | None = None,
) -> Done:
    """Run a program to its end.

    Args:
        argv: program and arguments; no shell, and never a secret.
        stdin: what it reads, from the file's present place; nothing without it.
        stdout: the file where its output goes, if it is not text for `Done.out`; at most what its file system
            has room for, less a twentieth that others need.
        timeout: seconds, after which it is killed.
        env: variables on top of a plain environment.

    Raises:
        Failed: there is no such program, it took too long, or it wrote more than there is room for.
    """
    room = _room(stdout) if stdout else 0
    # Files and not pipes: nobody has to read both at once, and what a dump's tool says is short.
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
            raise Failed(f"{argv[0]} did not end within {timeout / HOURS:g} hours") from None
        except OSError as error:
            raise Failed(f"{argv[0]} cannot be started: {os.strerror(error.errno or 0)}") from None
        if stdout and os.fstat(stdout.fileno()).st_size >= room:
            raise Failed(f"{argv[0]} had more to write than there is room for: {room} bytes")
        return Done(done.returncode, _text(out), _text(err))


def _room(file: IO[bytes]) -> int:
    disk = os.fstatvfs(file.fileno())
    return max((disk.f_bavail - disk.f_blocks // 20) * disk.f_frsize, 0)


def _bound(room: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))


def checked(argv: Sequence[str], what: str, **more: IO[bytes] | None) -> Done:
    """Run a program that has to succeed. Raises `Failed` with what it said; `what` is what it was to do."""
    done = run(argv, **more)  # type: ignore[arg-type]
    if done.code != 0:
        raise Failed(f"{what} failed (exit {done.code}):\n{done.tail}")
    return done


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(1024 * 1024).decode("utf-8", "replace")
