"""What stands at a path, who owns it, and keeping it to put it back later."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.host.agent import disk
from portcullis.host.agent.errors import HostError

if TYPE_CHECKING:
    from portcullis.host.agent.step import Json

_TYPES = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}


def checked(path: str) -> Path:
    """`path` as a Path, if it is absolute and in its shortest form. Raises `HostError` (``invalid``)."""
    if not path.startswith("/") or os.path.normpath(path) != path or "\0" in path or path == "/":
        raise HostError("invalid", f"{path!r} is not an absolute path in its shortest form", prop="path")
    return Path(path)


def look(path: Path) -> os.stat_result | None:
    """What stands at `path` itself, links not followed; None only on proof that nothing does."""
    try:
        return path.lstat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> HostError:
    """`path` cannot be read, which is not the same as absent."""
    return HostError(
        "unreadable", f"{path} cannot be read on the host: {os.strerror(error.errno or 0)}", prop="path"
    )


def named(path: Path, status: os.stat_result) -> str:
    """What `path` is, in words: ``a file``, ``a symbolic link to X``."""
    if stat.S_ISLNK(status.st_mode):
        try:
            return f"a symbolic link to {path.readlink()}"
        except OSError:
            return "a symbolic link"
    return _TYPES.get(stat.S_IFMT(status.st_mode), "something unknown")


def ownership(status: os.stat_result) -> Json:
    """Owner, group and mode as a resource has them; a number where the host knows no name."""
    return {
        "owner": user_name(status.st_uid),
        "group": group_name(status.st_gid),
        "mode": mode_text(status.st_mode),
    }


def mode_text(mode: int) -> str:
    """Permission bits as four octal digits."""
    return f"{stat.S_IMODE(mode):04o}"


def user_name(uid: int) -> str:
    """The user's name, or the number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """The group's name, or the number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def ids(desired: Json) -> tuple[int, int]:
    """The numbers of ``owner`` and ``group``. Raises `HostError` (``invalid``) for an unknown name."""
    owner, group = str(desired.get("owner", "root")), str(desired.get("group", "root"))
    try:
        uid = int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise HostError("invalid", f"there is no user {owner} on the host", prop="owner") from None
    try:
        gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise HostError("invalid", f"there is no group {group} on the host", prop="group") from None
    return uid, gid


def mode_bits(desired: Json, default: str) -> int:
    """The number behind ``mode``. Raises `HostError` (``invalid``)."""
    text = str(desired.get("mode", default))
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:  # noqa: PLR2004 - all permission bits
        raise HostError("invalid", f"{text!r} is not a mode in octal digits", prop="mode")
    return mode


def keep(path: Path, copy: Path) -> Json:
    """Describe what stands at `path`, a file's bytes in `copy` (root only), for `put_back` to restore it.

    Raises:
        HostError: ``unreadable``, ``no-space``.
    """
    status = look(path)
    if status is None:
        return {"type": "absent"}
    kept: Json = {"uid": status.st_uid, "gid": status.st_gid, "mode": stat.S_IMODE(status.st_mode)}
    if stat.S_ISLNK(status.st_mode):
        return {**kept, "type": "symlink", "target": str(path.readlink())}
    if stat.S_ISDIR(status.st_mode):
        return {**kept, "type": "directory"}
    if stat.S_ISREG(status.st_mode):
        try:
            data = path.read_bytes()
        except OSError as error:
            raise unreadable(path, error) from None
        disk.write(copy, data)
        return {**kept, "type": "file", "size": len(data)}
    return {**kept, "type": "other"}


def put_back(path: Path, kept: Json, copy: Path) -> None:
    """Make `path` what `keep` found there: a file, a link, or nothing. Raises `HostError`."""
    if kept["type"] == "file":
        disk.write(path, copy.read_bytes(), mode=kept["mode"], uid=kept["uid"], gid=kept["gid"])
    elif kept["type"] == "symlink":
        point(path, kept["target"])
    elif kept["type"] == "absent":
        remove_file(path)


def point(path: Path, target: str) -> None:
    """Make `path` a symbolic link to `target` in one step. Raises `HostError`."""
    temporary = path.parent / f"{disk.temporary_prefix(path)}{os.urandom(4).hex()}.link"
    try:
        temporary.symlink_to(target)
        temporary.replace(path)
        disk.sync_folder(path.parent)
    except OSError as error:
        if temporary.is_symlink():
            temporary.unlink()
        raise disk.write_error(error, path) from None


def remove_file(path: Path) -> None:
    """Take a file or link away; that nothing stands there is fine. Raises `HostError`."""
    try:
        path.unlink()
        disk.sync_folder(path.parent)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise disk.write_error(error, path) from None
