"""Walks folders of the host: lstat(2) of each path, and digests of files."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from portcullis.agent import safe_paths
from portcullis.agent.quotes import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

MOST = 30_000
"""One walk reads at most this number of entries."""
MOST_OF_A_USER = 2_000
"""One walk reads at most this number of entries in the home of a user."""
MOST_OF_USERS = 20_000
"""One walk reads at most this number of entries that belong to other accounts than root."""
LARGEST = 2 << 20
"""A walk reads at most this number of bytes of a file. For a larger file, its size and times serve as the
digest."""
LARGEST_OF_A_USER = 64 << 20
"""A walk reads at most this number of bytes of all files of an account, except of root. For further files,
their sizes and times serve as the digests. So nobody changes the digests of another account's files."""
LARGEST_OF_USERS = 512 << 20
"""A walk reads at most this number of bytes of all files of other accounts than root."""
_PIECE = 64 << 10
_NOBODYS = -1


class Status(NamedTuple):
    """The fields of lstat(2) that readers need. The tuple uses a third of the memory of `os.stat_result`."""

    st_mode: int
    st_uid: int
    st_gid: int
    st_dev: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int

    @property
    def st_ctime(self) -> float:
        """The time of the last change of the inode, in seconds since 1970."""
        return self.st_ctime_ns / 1e9


class Seen(NamedTuple):
    """The file, folder, link or device at a path.

    Attributes:
        path: the absolute path on the host.
        status: the status of the path itself. Symbolic links are not followed.
        target: the target of a link, as it is written in the link.
    """

    path: str
    status: Status
    target: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether the path is a folder."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        """Whether the path is a symbolic link."""
        return stat.S_ISLNK(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        """Whether the path is a plain file."""
        return stat.S_ISREG(self.status.st_mode)

    @property
    def mode(self) -> int:
        """The permission bits of the path."""
        return stat.S_IMODE(self.status.st_mode)


@dataclass
class Walk:
    """The paths that a walk of some folders has seen.

    Attributes:
        seen: the files and folders by path. A folder comes before its content.
        failed: paths that cannot be read, each with the reason.
        is_cut: whether the folders had more entries than the walk reads.
        is_cut_for_users: whether other accounts than root had more entries than the walk reads of them.
        most: the walk reads nothing more once it has seen this number of entries.
    """

    root: Path
    seen: dict[str, Seen] = field(default_factory=dict)
    failed: dict[str, OSError] = field(default_factory=dict)
    is_cut: bool = False
    is_cut_for_users: bool = False
    most: int = field(default_factory=lambda: MOST)
    _of_users: int = 0
    _read: dict[int, int] = field(default_factory=dict)
    _accounts: dict[int, str] | None = None
    _same: dict[int, int] = field(default_factory=dict)

    def below(self, top: str, skips: Callable[[str], bool] | None = None) -> None:
        """Read a folder and all paths below it, except paths for which `skips` returns true."""
        waiting: list[str] = [top] if self.look(top) else []
        while waiting:
            folder = waiting.pop()
            here = self.seen[folder]
            if not here.is_folder or self._is_full(here.status.st_uid):
                continue
            for name in self.names(folder):
                path = f"{folder}/{name}"
                if skips is not None and skips(path):
                    continue
                found = self.look(path)
                if found is None and self._is_full(here.status.st_uid):
                    break
                if found is not None and found.is_folder and found.status.st_dev == here.status.st_dev:
                    waiting.append(path)

    def names(self, folder: str) -> list[str]:
        """Return the sorted names in a folder, at most `MOST` of them.

        A folder that is missing or unreadable has no names.
        """
        try:
            with os.scandir(self._real(folder)) as entries:
                found = sorted(entry.name for entry in itertools.islice(entries, MOST))
                self.is_cut = self.is_cut or len(found) == MOST
                return found
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self._fail(folder, error)
            return []

    def _is_full(self, uid: int) -> bool:
        """Return whether the walk reads nothing more of an account, and note that."""
        if len(self.seen) + len(self.failed) >= self.most:
            self.is_cut = True
        elif uid and self._of_users >= MOST_OF_USERS:
            self.is_cut_for_users = True
        else:
            return False
        return True

    def _fail(self, path: str, error: OSError) -> None:
        """Note that a path cannot be read. It belongs to the owner of its folder."""
        folder = self.seen.get(path.rpartition("/")[0])
        uid = folder.status.st_uid if folder else 0
        if not self._is_full(uid):
            self._of_users += uid != 0
            self.failed[path] = error

    def look(self, path: str) -> Seen | None:
        """Read one path, and return None if it does not exist."""
        if path in self.seen:
            return self.seen[path]
        if self._is_full(0):
            return None
        real = self._real(path)
        try:
            status = os.lstat(real)
            target = os.readlink(real) if stat.S_ISLNK(status.st_mode) else ""  # noqa: PTH115 - a string is needed
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._fail(path, error)
            return None
        if self._is_full(status.st_uid):
            return None
        self._of_users += status.st_uid != 0
        # Equal numbers share one object, to save memory.
        mode, device = (self._same.setdefault(each, each) for each in (status.st_mode, status.st_dev))
        short = Status(
            mode, status.st_uid, status.st_gid, device, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )
        self.seen[path] = Seen(path, short, target)
        return self.seen[path]

    def data(self, path: str) -> bytes:
        """Return at most `LARGEST` bytes of a plain file.

        For paths that are no plain file, return no bytes. Raises OSError.
        """
        fd = os.open(self._real(path), safe_paths.FILE)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return b""
            pieces, left = [], LARGEST
            while left > 0:
                asked = min(left, _PIECE)
                piece = os.read(fd, asked)
                pieces.append(piece)
                left -= len(piece)
                if len(piece) < asked:  # the end of a plain file
                    break
            return b"".join(pieces)
        finally:
            os.close(fd)

    def digest(self, path: str, algorithm: str = "sha256") -> str:
        """Return a digest of a file's content, or "" if the path is no plain file or cannot be read."""
        found = self.seen.get(path)
        if found is None or not found.is_file:
            return ""
        owner = self._owner(found.status.st_uid)
        if not self._is_read(found.status.st_size, owner):
            return f"{found.status.st_size} {found.status.st_mtime_ns} {found.status.st_ctime_ns}"
        with contextlib.suppress(OSError):
            data = self.data(path)
            self._read[owner] = self._read.get(owner, 0) + len(data)
            return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
        return ""

    def _owner(self, uid: int) -> int:
        """Return the account to which a file counts. All uids without an account count as one.

        A user who has many uids for containers, see subuid(5), gains nothing by them.
        """
        if self._accounts is None:
            self._accounts = _numbers(self.root / "etc" / "passwd")
        return uid if not uid or uid in self._accounts else _NOBODYS

    def _is_read(self, size: int, owner: int) -> bool:
        """Return whether a file of this size is read, after all that was read of its owner and of others."""
        if not owner or size > LARGEST:
            return size <= LARGEST
        of_users = sum(read for other, read in self._read.items() if other)
        return self._read.get(owner, 0) + size <= LARGEST_OF_A_USER and of_users + size <= LARGEST_OF_USERS

    def _real(self, path: str) -> str:
        return path if str(self.root) == "/" else f"{self.root}{path}"


class Names:
    """Names of accounts and groups, from the host's own files and not from a directory service."""

    def __init__(self, root: Path) -> None:
        """Read the files passwd(5) and group(5) of the host."""
        self._users = _numbers(root / "etc" / "passwd")
        self._groups = _numbers(root / "etc" / "group")

    def owner(self, status: Status | os.stat_result) -> str:
        """Return owner and group, such as root:shadow.

        If an account or group has no name, its number is returned.
        """
        user = self._users.get(status.st_uid, str(status.st_uid))
        return f"{user}:{self._groups.get(status.st_gid, str(status.st_gid))}"


def _numbers(path: Path) -> dict[int, str]:
    known: dict[int, str] = {}
    with contextlib.suppress(OSError):
        for line in path.read_text("utf-8", "replace").splitlines():
            words = line.split(":")
            if len(words) > 3 and words[2].isdecimal():  # noqa: PLR2004 - the first fields are name, password and number
                known.setdefault(int(words[2]), words[0])
    return known


def describe(seen: Seen, names: Names) -> str:
    """Describe a path in words: its kind, mode and owner, or the target of a link in quotes."""
    if seen.is_link:
        return f"link to {quoted(seen.target)}"
    return f"{_kind(seen)} {seen.mode:04o} {names.owner(seen.status)}"


def state(seen: Seen, names: Names) -> dict[str, str]:
    """Return the values that `describe` tells, by name."""
    if seen.is_link:
        return {"target": seen.target}
    return {"kind": _kind(seen), "mode": f"{seen.mode:04o}", "owner": names.owner(seen.status)}


def _kind(seen: Seen) -> str:
    kinds = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "folder",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFBLK: "disk device",
        stat.S_IFCHR: "device",
    }
    return kinds.get(stat.S_IFMT(seen.status.st_mode), "thing")


def home_folders(root: Path, without: Collection[str] = ()) -> dict[str, str]:
    """Return the home of each account with a shell, by the account's name. The home of root is left out."""
    homes: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in (root / "etc" / "passwd").read_text("utf-8", "replace").splitlines():
            words = line.split(":")
            if len(words) != 7 or words[0] in without:  # noqa: PLR2004 - passwd(5)
                continue
            shell, home = words[6], words[5].rstrip("/")
            is_shell = shell not in ("", "/bin/sync") and not shell.endswith(("/nologin", "/false"))
            if is_shell and home.startswith("/") and home != "/root" and len(home) > 1:
                homes[words[0]] = home
    return homes
