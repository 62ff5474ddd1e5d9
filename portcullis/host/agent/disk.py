"""Writing to disk so that a reader, a crash and a full disk each find either the old or the new."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from typing import TYPE_CHECKING

from portcullis.host.agent.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Callable

MARK = ".portcullis-"
NAME_LIMIT = 200  # bytes; leaves room for the mark


def temporary_prefix(path: Path) -> str:
    """How the names of our temporary files beside `path` begin; no two paths share it.

    The leading dot and the odd ending keep them out of every ``*.conf`` and ``conf.d/*`` include. A long name
    is cut, since a name has 255 bytes at most.
    """
    name = path.name
    if len(os.fsencode(name)) > NAME_LIMIT:
        name = f"{name[:40]}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"
    return f".{name}{MARK}"


def sweep(path: Path) -> None:
    """Take away what an interrupted write of `path` left beside it."""
    prefix = temporary_prefix(path)
    try:
        names = os.listdir(path.parent)  # noqa: PTH208 - names only, no Path for each of thousands
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if name.startswith(prefix):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                (path.parent / name).unlink()


def write(
    path: Path,
    data: bytes,
    *,
    mode: int = 0o600,
    uid: int = 0,
    gid: int = 0,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Put `data` at `path` in one step, replacing a file or a symbolic link (never following it).

    Nobody sees the bytes before owner and mode are final. `check` gets the finished temporary file and may
    raise.

    Raises:
        HostError: ``no-space`` or ``invalid``; nothing half-written is left.
    """
    temporary = path.parent / f"{temporary_prefix(path)}{os.urandom(4).hex()}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, data)
            os.fchown(fd, uid, gid)  # before chmod: chown clears the setuid bit
            os.fchmod(fd, mode)
            os.fsync(fd)
        finally:
            os.close(fd)
        if check is not None:
            check(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        _forget(temporary)
        raise write_error(error, path) from None
    except BaseException:
        _forget(temporary)
        raise


def _forget(temporary: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()


def write_all(fd: int, data: bytes | bytearray) -> None:
    """All of `data`, however few bytes each call takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_error(error: OSError, path: Path) -> HostError:
    """Why `path` could not be written, for people."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_space(path)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return HostError(
            "invalid",
            f"the folder {path.parent} does not exist on the host",
            prop="path",
            hint="declare it as a Directory, or depend on the package that brings it",
        )
    if error.errno == errno.EISDIR:
        return HostError("invalid", f"{path} is a directory on the host", prop="path")
    if error.errno == errno.EROFS:
        return HostError("invalid", f"the file system of {path} is mounted read-only", prop="path")
    if error.errno == errno.EPERM:
        return HostError(
            "invalid",
            f"the host does not permit writing {path}",
            prop="path",
            hint="it may be immutable; see lsattr",
        )
    return HostError("invalid", f"{path} cannot be written: {os.strerror(error.errno or 0)}", prop="path")


def no_space(path: Path) -> HostError:
    """The full file system under `path`, with its numbers."""
    mount = path.parent
    while not mount.exists():
        mount = mount.parent
    room = os.statvfs(mount)
    while not mount.is_mount() and mount != mount.parent:
        mount = mount.parent
    free, size = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
    what = "inodes" if room.f_files and not room.f_favail else "space"
    return HostError(
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
