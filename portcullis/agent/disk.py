"""Writes files in one step: after a crash or on a full disk, readers see the old file or the new one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from typing import TYPE_CHECKING

from portcullis.agent import safe_paths
from portcullis.agent.errors import AgentError
from portcullis.agent.safe_paths import FolderEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

MARK = ".portcullis-"
NAME_LIMIT = 200  # bytes; leaves room for the mark


def temporary_prefix(path: Path) -> str:
    """Return the prefix of the names of our temporary files beside `path`. Each path has its own prefix.

    A temporary name begins with a dot and has an unusual ending. So the pattern of an include, such as
    ``*.conf`` or ``conf.d/*``, does not match it. A long name is cut, because a file name has 255 bytes at
    most.
    """
    name = path.name
    if len(os.fsencode(name)) > NAME_LIMIT:
        name = f"{name[:40]}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"
    return f".{name}{MARK}"


@contextlib.contextmanager
def reading(path: Path) -> Iterator[FolderEntry]:
    """Open the folder of `path`, and yield the `FolderEntry` of the file, for a caller that reads the file.

    The file may be absent. Raises `AgentError` (``unreadable``).
    """
    with _at(path, unreadable) as place:
        yield place


@contextlib.contextmanager
def writing(path: Path, *, make: bool = False) -> Iterator[FolderEntry]:
    """Open the folder of `path`, and yield the `FolderEntry` of the file, for a caller that writes the file.

    With `make`, missing folders are made. Raises `AgentError` (``no-space``, ``invalid``, ``unreadable``),
    also for an OSError inside the `with` block.
    """
    with _at(path, write_error, make=make) as place:
        if place.folder < 0:
            raise FileNotFoundError(errno.ENOENT, "")
        yield place


@contextlib.contextmanager
def removing(path: Path) -> Iterator[FolderEntry]:
    """Open the folder of `path`, and yield the `FolderEntry` of the file, for a caller that removes the file.

    The file may be absent. Raises `AgentError`.
    """
    with _at(path, write_error) as place:
        yield place


@contextlib.contextmanager
def _at(
    path: Path, fail: Callable[[OSError, Path], AgentError], *, make: bool = False
) -> Iterator[FolderEntry]:
    folder = -1
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            folder = safe_paths.open_parent(path, make=make)
        yield FolderEntry(path, folder)
    except OSError as error:
        raise fail(error, path) from None
    finally:
        if folder >= 0:
            os.close(folder)


def sweep(path: Path) -> None:
    """Remove the temporary files that an interrupted write of `path` left beside it."""
    with removing(path) as place:
        for name in leftovers(place):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(name, dir_fd=place.folder)


def leftovers(place: FolderEntry) -> list[str]:
    """Return the names in the folder that look like our temporary files for this path. Raises OSError."""
    prefix = temporary_prefix(place.path)
    names = os.listdir(place.folder) if place.folder >= 0 else []  # noqa: PTH208 - by descriptor
    return [name for name in names if name.startswith(prefix)]


def temporary_name(path: Path) -> str:
    """Return a new temporary name beside `path`."""
    return f"{temporary_prefix(path)}{os.urandom(4).hex()}"


def write(
    path: Path,
    data: bytes | Iterable[bytes],
    *,
    mode: int = 0o600,
    uid: int = 0,
    gid: int = 0,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Put `data` at `path` in one step.

    The new file replaces an old file or a symbolic link; a link is never followed. Other processes see the
    file only after its owner and mode are final. `check` is called with the finished temporary file; if
    `check` raises an error, `path` does not change.

    Raises:
        AgentError: ``no-space``, ``invalid`` or ``unreadable``. After an error, no half-written file is left.
    """
    with writing(path) as place:
        temporary = temporary_name(path)
        try:
            how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(temporary, how, 0o600, dir_fd=place.folder)
            try:
                for piece in [data] if isinstance(data, bytes) else data:
                    write_all(fd, piece)
                give(fd, uid, gid, mode)
                os.fsync(fd)
            finally:
                os.close(fd)
            if check is not None:
                check(path.parent / temporary)
            replace(place, temporary)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=place.folder)
            raise


def replace(place: FolderEntry, temporary: str) -> None:
    """Rename the file or link `temporary` to `place`, in the same folder, and flush the folder to the disk.

    Raises OSError.
    """
    os.rename(temporary, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    os.fsync(place.folder)


def give(fd: int, uid: int, gid: int, mode: int) -> None:
    """Set owner, group and mode of an open file or folder."""
    os.fchown(fd, uid, gid)  # before chmod: chown clears the setuid bit
    os.fchmod(fd, mode)


def write_all(fd: int, data: bytes | bytearray) -> None:
    """Write all of `data`, in as many system calls as needed."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def unreadable(error: OSError, path: Path) -> AgentError:
    """Return the error for a `path` that cannot be read.

    The agent must not treat an unreadable file as absent.
    """
    return AgentError(
        "unreadable", f"{path} cannot be read on the host: {os.strerror(error.errno or 0)}", prop="path"
    )


def write_error(error: OSError, path: Path) -> AgentError:
    """Return the error that says why `path` could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_space(path)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return AgentError(
            "invalid",
            f"the folder {path.parent} does not exist on the host",
            prop="path",
            hint="declare the folder as a Directory, or depend on the package that brings the folder",
        )
    if error.errno == errno.EISDIR:
        return AgentError("invalid", f"{path} is a directory on the host", prop="path")
    if error.errno == errno.EROFS:
        return AgentError("invalid", f"the file system of {path} is mounted read-only", prop="path")
    if error.errno == errno.EPERM:
        return AgentError(
            "invalid",
            f"the host does not permit writing {path}",
            prop="path",
            hint="the file may be immutable; see lsattr",
        )
    return AgentError("invalid", f"{path} cannot be written: {os.strerror(error.errno or 0)}", prop="path")


def no_space(path: Path) -> AgentError:
    """Return the error for a full file system, with its free and total space."""
    mount = path.parent
    while not mount.exists():
        mount = mount.parent
    room = os.statvfs(mount)
    while not mount.is_mount() and mount != mount.parent:
        mount = mount.parent
    free, size = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
    what = "inodes" if room.f_files and not room.f_favail else "space"
    return AgentError(
        "no-space",
        f"no {what} left on the host's file system {mount} for {path}:"
        f" {_amount(free)} free of {_amount(size)}",
        hint=f"make room (du -xh {mount} | sort -h | tail) and run again; the old state is untouched",
    )


def _amount(count: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1024:  # noqa: PLR2004 - the unit itself
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"
