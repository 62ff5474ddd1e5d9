"""Tells which paths only root can redirect, so that root can paste a command with the path later.

A report may be read minutes after the host was. Whoever may write a folder of a path can replace a part of
the path by a link until then.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LINKS = 40  # the kernel's own limit


class RootFolders:
    """Tells about the folders of one host, each of which is read once."""

    def __init__(self, root: Path) -> None:
        """Store the folder below which all paths of the host are."""
        self._root = str(root).rstrip("/")
        self._known: dict[str, bool] = {}

    def hold(self, path: str) -> bool:
        """Return whether only root can change where a path leads, up to its last part."""
        folder = path.rpartition("/")[0]
        if folder not in self._known:
            self._known[folder] = self._is_roots(folder)
        return self._known[folder]

    def _is_roots(self, folder: str) -> bool:
        here, links, waiting = "", 0, ["", *folder.split("/")][::-1]
        while waiting:
            part = waiting.pop()
            if part == "..":
                here = here.rpartition("/")[0]
                continue
            step = f"{here}/{part}" if part not in ("", ".") else here
            try:
                status = os.lstat(f"{self._root}{step}" or "/")
                if stat.S_ISLNK(status.st_mode):
                    target = os.readlink(f"{self._root}{step}")  # noqa: PTH115 - a string is needed
            except FileNotFoundError:
                return True  # only root can make this folder
            except OSError:
                return False
            if stat.S_ISLNK(status.st_mode):
                links += 1
                if links > _LINKS or status.st_uid:
                    return False
                here = "" if target.startswith("/") else here
                waiting += target.split("/")[::-1]
            elif not _is_closed(status):
                return False
            else:
                here = step
        return True


def _is_closed(status: os.stat_result) -> bool:
    """Whether only root can write a folder.

    A sticky bit is no excuse. Nor is root's group, because with an access list the bits of the group are
    those of the list: acl(5).
    """
    return stat.S_ISDIR(status.st_mode) and status.st_uid == 0 and not status.st_mode & 0o022
