"""Change several files that belong together: all of them, or none."""

from __future__ import annotations

import contextlib
import stat
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths
from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from pathlib import Path

    Before = tuple[bytes, int, int, int] | None


class Files:
    """Writes files, and can undo all its changes.

    If the agent crashes, its module `guard` undoes the changes.
    """

    def __init__(self) -> None:
        """Start with an empty list of changes."""
        self._before: dict[Path, Before] = {}

    def write(self, path: Path, text: str, mode: int) -> None:
        """Write `text` to `path`. The file belongs to root. Raises `AgentError`."""
        self._remember(path)
        disk.write(path, text.encode("utf-8", "surrogateescape"), mode=mode)

    def rewrite(self, path: Path, text: str) -> None:
        """Replace the text of an existing file, but keep its owner and mode. Raises `AgentError`."""
        before = self._remember(path)
        if before is None:
            raise AgentError(
                "not-converged",
                f"the file {path} disappeared during the deployment",
                prop="content",
                hint="run `up` again",
            )
        _, mode, uid, gid = before
        disk.write(path, text.encode("utf-8", "surrogateescape"), mode=mode, uid=uid, gid=gid)

    def remove(self, path: Path) -> None:
        """Remove a file. Raises `AgentError`."""
        self._remember(path)
        paths.remove_file(path)

    def undo(self) -> None:
        """Restore every file as it was before."""
        for path, before in self._before.items():
            with contextlib.suppress(AgentError):  # still restore the other files
                if before is None:
                    paths.remove_file(path)
                else:
                    data, mode, uid, gid = before
                    disk.write(path, data, mode=mode, uid=uid, gid=gid)

    def _remember(self, path: Path) -> Before:
        now: Before = None
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            now = (path.read_bytes(), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
        self._before.setdefault(path, now)
        return now
