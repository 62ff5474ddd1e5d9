"""Describes the file, folder or link at a path, with its owner.

Keeps a copy of a file, to restore it later.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk, safe_paths
from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from portcullis.agent.safe_paths import FolderEntry
    from portcullis.agent.step import Json

_TYPES = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}


def checked(path: str) -> Path:
    """Return `path`, which must be absolute and in its shortest form. Raises `AgentError` (``invalid``)."""
    if os.path.normpath(path) != path or path[:1] != "/" or path[1:2] in ("", "/") or "\0" in path:
        raise AgentError(
            "invalid",
            f"the path {path!r} is not an absolute path in its shortest form, such as /etc/motd",
            prop="path",
        )
    return Path(path)


def shown(path: object) -> str:
    """Return `path` as text with line ends and invalid UTF-8 escaped, so that any program can show it."""
    return os.fsencode(str(path)).decode("utf-8", "backslashreplace").replace("\n", "\\n")


def named(place: FolderEntry, status: os.stat_result) -> str:
    """Describe the file at `place` in words: ``a file``, ``a symbolic link to X``."""
    if stat.S_ISLNK(status.st_mode):
        try:
            return f"a symbolic link to {shown(place.target())}"
        except OSError:
            return "a symbolic link"
    return type_name(status)


def type_name(status: os.stat_result) -> str:
    """Return the type of a file in words: ``a file``, ``a named pipe`` and so on."""
    return _TYPES.get(stat.S_IFMT(status.st_mode), "something unknown")


def ownership(status: os.stat_result) -> Json:
    """Return owner, group and mode as inputs of a resource.

    An account without a name is given by its number.
    """
    return {
        "owner": user_name(status.st_uid),
        "group": group_name(status.st_gid),
        "owner_id": str(status.st_uid),
        "group_id": str(status.st_gid),
        "mode": mode_text(status.st_mode),
    }


def mode_text(mode: int) -> str:
    """Return permission bits as four octal digits."""
    return f"{stat.S_IMODE(mode):04o}"


def user_name(uid: int) -> str:
    """Return a user's name, or the number of a user without a name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """Return a group's name, or the number of a group without a name."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def ids(owner: str, group: str) -> tuple[int, int]:
    """Return the numbers of an owner and a group. Raises `AgentError` (``invalid``) for an unknown name."""
    try:
        uid = int(owner) if owner.isdecimal() else pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise AgentError("invalid", f"there is no user {owner} on the host", prop="owner") from None
    try:
        gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise AgentError("invalid", f"there is no group {group} on the host", prop="group") from None
    return uid, gid


def mode_bits(text: str) -> int:
    """Return permission bits from their octal digits. Raises `AgentError` (``invalid``)."""
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:  # noqa: PLR2004 - all permission bits
        raise AgentError(
            "invalid", f"the mode {text!r} is not a number in octal digits, such as 0644", prop="mode"
        )
    return mode


def keep(path: Path, copy: Path) -> Json:
    """Describe what exists at `path`, so that `put_back` can restore it.

    The bytes of a file are copied to `copy`, which only root can read.

    Raises:
        AgentError: ``unreadable``, ``no-space``.
    """
    with disk.reading(path) as place:
        status = place.look()
        if status is None:
            return {"type": "absent"}
        if stat.S_ISREG(status.st_mode):
            return _keep_file(place, copy)
        kept: Json = {"uid": status.st_uid, "gid": status.st_gid, "mode": stat.S_IMODE(status.st_mode)}
        if stat.S_ISLNK(status.st_mode):
            return {**kept, "type": "symlink", "target": place.target()}
        return {**kept, "type": "directory" if stat.S_ISDIR(status.st_mode) else "other"}


def _keep_file(place: FolderEntry, copy: Path) -> Json:
    fd = place.open()
    try:
        disk.write(copy, safe_paths.pieces(fd))
        status = os.fstat(fd)  # the copied file's; another file may be at the path by now
    finally:
        os.close(fd)
    mode = stat.S_IMODE(status.st_mode)
    return {"uid": status.st_uid, "gid": status.st_gid, "mode": mode, "type": "file", "size": status.st_size}


def put_back(path: Path, kept: Json, copy: Path) -> None:
    """Restore the state of `path` that `keep` described: a file, a link, or nothing. Raises `AgentError`."""
    if kept["type"] == "file":
        with copy.open("rb") as stream:
            data = safe_paths.pieces(stream.fileno())
            disk.write(path, data, mode=kept["mode"], uid=kept["uid"], gid=kept["gid"])
    elif kept["type"] == "symlink":
        with disk.writing(path) as place:
            point(place, kept["target"])
    elif kept["type"] == "absent":
        remove_file(path)


def point(place: FolderEntry, target: str) -> None:
    """Make `place` a symbolic link to `target` in one step. Raises OSError."""
    temporary = f"{disk.temporary_name(place.path)}.link"
    try:
        os.symlink(target, temporary, dir_fd=place.folder)
        disk.replace(place, temporary)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=place.folder)
        raise


def remove_file(path: Path) -> None:
    """Remove a file or link. A missing file is no error. Raises `AgentError`."""
    with disk.removing(path) as place:
        if place.look() is None:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place.name, dir_fd=place.folder)
        os.fsync(place.folder)
