"""Names on the host that no unprivileged user can bend: folders held open, users' links never followed.

A path is walked from the root one folder at a time, and everything then happens relative to the open folder.
Whoever owns a folder on the way can rename what is in it at any moment, so a name that was looked at a moment
ago proves nothing; an open folder stays the folder it is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, Tuple

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
PIECE = 1 << 16
_LINKS = 40  # as the kernel has it


_Loose = Optional[Tuple[str, os.stat_result]]


@dataclass(frozen=True)
class FolderEntry:
    """A name in an open folder; `folder` is -1 where the folder that would hold it does not exist."""

    path: Path
    folder: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    def look(self) -> os.stat_result | None:
        """What stands there itself, links not followed; None only on proof that nothing does."""
        if self.folder == -1:
            return None
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def target(self) -> str:
        """Where the link points."""
        return os.readlink(self.name, dir_fd=self.folder)

    def open(self) -> int:
        """See `open_file`."""
        return open_file(self.folder, self.name, self.path)


def open_file(folder: int, name: str, path: Path) -> int:
    """A regular file, for reading; never a link's target, never waiting for a pipe's other end.

    Raises:
        AgentError: ``unreadable`` when it is something else; `path` is what to call it.
        OSError: it cannot be opened.
    """
    try:
        fd = os.open(name, FILE, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _changed(path) from None
        raise
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise _changed(path)


def _changed(path: Path) -> AgentError:
    return AgentError(
        "unreadable",
        f"{path} turned into something else while it was read",
        prop="path",
        hint="something on the host is changing it; run again",
    )


def pieces(fd: int) -> Iterator[bytes]:
    """The bytes of an open file, a bounded number at a time."""
    while True:
        piece = os.read(fd, PIECE)
        if not piece:
            return
        yield piece


def open_parent(path: Path, *, make: bool = False) -> int:
    """The folder that holds `path`, open; with `make`, missing ones are made, 0755 and root's.

    A link on the way is followed only where nobody but root can have put it: ``/var/run`` is, one in a home
    is not.

    Raises:
        AgentError: ``unreadable``, naming the link and whose folder it is in.
        OSError: there is no such folder, or it cannot be opened.
    """
    here = os.open("/", FOLDER)
    waiting = list(path.parts[-2:0:-1])
    links = 0
    loose: _Loose = None  # the first folder where others than root can replace names
    try:
        while waiting:
            name = waiting.pop()
            there = _enter(here, name, make=make)
            if there == -1:
                links += 1
                target = _link(path, here, name, links, loose)
                waiting += [word for word in reversed(target.split("/")) if word not in ("", ".")]
                there = os.open("/" if target.startswith("/") else ".", FOLDER, dir_fd=here)
            os.close(here)
            here = there
            status = os.fstat(here)
            if not loose and (status.st_uid or (_is_open(status) and not status.st_mode & stat.S_ISVTX)):
                loose = (_path(here), status)
    except BaseException:
        os.close(here)
        raise
    return here


def _enter(folder: int, name: str, *, make: bool) -> int:
    """The folder `name` in an open one; -1 for something that is no folder, such as a link."""
    try:
        return os.open(name, FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        return -1
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=folder)
    return _enter(folder, name, make=False)


def _link(path: Path, here: int, name: str, links: int, loose: _Loose) -> str:
    """Where the link `name` points, if it may be followed."""
    try:
        target = os.readlink(name, dir_fd=here)
    except OSError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
    around = os.fstat(here)
    if not loose and _is_open(around) and os.stat(name, dir_fd=here, follow_symlinks=False).st_uid != 0:
        loose = (_path(here), around)  # such as /tmp, where root's own names are safe from others
    if loose:
        raise _not_followed(path, f"{_path(here)}/{name}", *loose)
    if links > _LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _is_open(status: os.stat_result) -> bool:
    """Whether others than its owner can make names in a folder."""
    return status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) != 0


def _path(folder: int) -> str:
    return os.readlink(f"/proc/self/fd/{folder}")  # noqa: PTH115 - text is wanted


def _not_followed(path: Path, link: str, loose: str, status: os.stat_result) -> AgentError:
    try:
        user = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        user = str(status.st_uid)
    whose = f"belongs to {user}" if status.st_uid else "can be changed by others than root"
    return AgentError(
        "unreadable",
        f"{link} on the way to {path} is a symbolic link, and the folder {loose} {whose}: it is not followed",
        prop="path",
        hint="declare the path that it leads to, or have root alone own the folders on the way",
    )


def make_folder(parent: int, name: str, path: Path) -> int:
    """A new folder that root alone can enter, open.

    Raises:
        AgentError: ``invalid`` when something else took its place at once; `path` is what to call it.
        OSError: it cannot be made.
    """
    os.mkdir(name, 0o700, dir_fd=parent)
    fd = os.open(name, FOLDER, dir_fd=parent)
    if is_ours(fd) and not os.listdir(fd):  # noqa: PTH208 - by descriptor
        return fd
    os.close(fd)
    raise AgentError(
        "invalid",
        f"something on the host replaced {path} as soon as it was made",
        prop="path",
        hint="look who writes in the folder that holds it",
    )


def is_ours(folder: int) -> bool:
    """Whether it is a folder of root's that nobody else can enter."""
    status = os.fstat(folder)
    return status.st_uid == 0 and not status.st_mode & 0o077


@contextlib.contextmanager
def below(folder: int, name: str, *, make: bool = False) -> Iterator[int]:
    """The folder `name` (``a/b``, or "" for `folder` itself) below an open one, no link followed.

    With `make`, missing ones are made for root alone. Raises OSError.
    """
    here = os.dup(folder)
    try:
        for part in name.split("/") if name else ():
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=here)
            there = os.open(part, FOLDER, dir_fd=here)
            os.close(here)
            here = there
        yield here
    finally:
        os.close(here)


def remove_all(folder: int, name: str) -> None:
    """Take away `name` and, if it is a folder, all that is in it; that it is gone is fine. Raises OSError."""
    try:
        with below(folder, name) as inner:
            for entry in os.listdir(inner):  # noqa: PTH208 - by descriptor
                remove_all(inner, entry)
        os.rmdir(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
