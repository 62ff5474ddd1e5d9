"""Finds when a file under a set of paths last changed."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent.disk import unreadable
from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIMIT = 20_000  # entries; with more of them, the service declares a folder too high up


def newest_change(paths: Sequence[str]) -> int:
    """Return the time of the latest change under `paths`, in nanoseconds of the wall clock; 0 for no paths.

    The time is the inode's change time, so a copy that keeps old dates (``cp -a``, ``mv``) cannot hide a
    change. Links are followed, because a program that reads the files follows them too. For a missing path,
    the time of the nearest existing folder counts, because the removal of a file changes the time of its
    folder.

    Raises:
        AgentError: ``unreadable``, or ``invalid`` when there are more than `LIMIT` files.
    """
    return max((changed for _, changed in _changes(paths)), default=0)


def changed_since(paths: Sequence[str], moment: int) -> list[Path]:
    """Return the sorted files under `paths` that changed after `moment` (nanoseconds, wall clock).

    Folders are left out, because the list already has the new files in them. Raises the same errors as
    `newest_change`.
    """
    changed = {path for path, when in _changes(paths) if when > moment}
    return sorted(path for path in changed if path.is_file())


def _changes(paths: Sequence[str]) -> Iterator[tuple[Path, int]]:
    """Yield every path under `paths` with its change time."""
    seen: set[tuple[int, int]] = set()
    waiting = [Path(path) for path in paths]
    while waiting:
        path = waiting.pop()
        here = _look(path)
        if here is None:
            yield path, _removal(path)
            continue
        yield path, here.st_ctime_ns
        try:
            there = path.stat() if stat.S_ISLNK(here.st_mode) else here
        except OSError:
            continue  # a dangling link; only its own time counts
        if (there.st_dev, there.st_ino) in seen:
            continue
        seen.add((there.st_dev, there.st_ino))
        if len(seen) > LIMIT:
            raise AgentError(
                "invalid", f"there are over {LIMIT} files under {paths[0]} and the other paths", prop="reads"
            )
        yield path, there.st_ctime_ns
        if stat.S_ISDIR(there.st_mode):
            try:
                waiting += [path / name for name in os.listdir(path)]  # noqa: PTH208 - cheaper than Path for each
            except FileNotFoundError:
                continue
            except OSError as error:
                raise unreadable(error, path) from None


def _removal(path: Path) -> int:
    for folder in path.parents:
        status = _look(folder)
        if status is not None:
            return status.st_mtime_ns  # a chmod does not change this time
    return 0


def _look(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(error, path) from None
