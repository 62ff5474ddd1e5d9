"""Opens paths so that no unprivileged user can redirect them.

This module walks a path from the root, one folder at a time, and follows no link that a user could have made.
All further operations are relative to the open folder. The owner of a folder on the way can rename its
entries at any moment. So a name that was checked a moment ago proves nothing, but an open folder stays the
same folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
PIECE = 1 << 16
_LINKS = 40  # the kernel's own limit


_Loose = tuple[str, os.stat_result] | None


@dataclass(frozen=True)
class FolderEntry:
    """A name in an open folder.

    `folder` is the descriptor of this folder, or -1 if the folder does not exist.
    """

    path: Path
    folder: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    def look(self) -> os.stat_result | None:
        """Return the status of the entry itself, not of a link's target.

        None means that the entry is surely absent.
        """
        if self.folder == -1:
            return None
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def target(self) -> str:
        """Return the target of the link."""
        return os.readlink(self.name, dir_fd=self.folder)

    def open(self) -> int:
        """Open the entry as `open_file` does."""
        return open_file(self.folder, self.name, self.path)


def open_file(folder: int, name: str, path: Path) -> int:
    """Open a regular file for reading.

    The function follows no link, and a pipe does not block it.

    Raises:
        AgentError: ``unreadable`` when the entry is not a regular file; the message shows `path`.
        OSError: the file cannot be opened.
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


def open_behind_links(path: Path) -> int | None:
    """Open a regular file for reading, and follow links to it. Return None for anything but a regular file.

    Nothing else is opened, because the open itself can act: it starts a watchdog, which then restarts the
    machine, or it waits for the writer of a pipe. A file of the kernel is none on a disk: to read /proc/kmsg
    waits for messages, and takes them away from others. Raises OSError.
    """
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        status = os.fstat(place)
        is_file = stat.S_ISREG(status.st_mode) and status.st_dev not in _kernel_devices()
        how = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{place}", how) if is_file else None
    finally:
        os.close(place)


def _kernel_devices() -> set[int]:
    return {os.stat(folder).st_dev for folder in ("/proc", "/sys")}  # noqa: PTH116 - cheaper than Path


def _changed(path: Path) -> AgentError:
    return AgentError(
        "unreadable",
        f"{path} was replaced while it was read",
        prop="path",
        hint="a program on the host is changing the file; run again",
    )


def pieces(fd: int) -> Iterator[bytes]:
    """Yield the bytes of an open file, a bounded number at a time."""
    while True:
        piece = os.read(fd, PIECE)
        if not piece:
            return
        yield piece


def open_parent(path: Path, *, make: bool = False) -> int:
    """Open the parent folder of `path`.

    With `make`, missing folders are made: mode 0755, owned by root. A link on the way is followed only where
    nobody but root can have made it. For example, the link ``/var/run`` is followed, and a link in a home
    directory is refused.

    Raises:
        AgentError: ``unreadable``; the message has the path of the link and the owner of the link's folder.
        OSError: the folder does not exist, or it cannot be opened.
    """
    here = os.open("/", FOLDER)
    waiting = list(path.parts[-2:0:-1])
    links = 0
    loose: _Loose = None  # the first folder in which another user than root can replace entries
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
    """Open the folder `name` in an open folder.

    Return -1 for an entry that is not a folder, such as a link.
    """
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
    """Return where the link `name` points, if it may be followed."""
    try:
        target = os.readlink(name, dir_fd=here)
    except OSError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
    around = os.fstat(here)
    if not loose and _is_open(around) and os.stat(name, dir_fd=here, follow_symlinks=False).st_uid != 0:
        loose = (_path(here), around)  # such as /tmp, where only root can replace root's entries
    if loose:
        raise _not_followed(path, f"{_path(here)}/{name}", *loose)
    if links > _LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _is_open(status: os.stat_result) -> bool:
    """Return whether users other than the folder's owner can make entries in the folder."""
    return status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) != 0


def _path(folder: int) -> str:
    return os.readlink(f"/proc/self/fd/{folder}")  # noqa: PTH115 - text is wanted


def _not_followed(path: Path, link: str, loose: str, status: os.stat_result) -> AgentError:
    try:
        user = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        user = str(status.st_uid)
    whose = f"belongs to {user}" if status.st_uid else "is writable for others than root"
    return AgentError(
        "unreadable",
        f"the agent does not follow {link}, a symbolic link on the way to {path}: the folder {loose} {whose}",
        prop="path",
        hint="declare the path that the link leads to, or let only root own the folders on the way",
    )


def make_folder(parent: int, name: str, path: Path) -> int:
    """Make a folder that root alone can enter, and return it open.

    Raises:
        AgentError: ``invalid`` when something replaced the folder at once; the message calls it `path`.
        OSError: the folder cannot be made.
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
        hint=f"find out which program or user on the host writes in the parent folder of {path}",
    )


def is_ours(folder: int) -> bool:
    """Return whether a folder belongs to root and nobody else can enter it."""
    status = os.fstat(folder)
    return status.st_uid == 0 and not status.st_mode & 0o077


@contextlib.contextmanager
def below(folder: int, name: str, *, make: bool = False) -> Iterator[int]:
    """Open the folder `name` (``a/b``, or "" for `folder` itself) below an open folder.

    No link is followed. With `make`, missing folders are made for root alone. Raises OSError.
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
    """Remove `name` and, if it is a folder, its content. An absent entry is no error. Raises OSError."""
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
