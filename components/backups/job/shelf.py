"""The folder of dumps: how dumps are named, how a dump gets into the folder, and when it is removed.

A dump's name has its time and its number of items: `2026-11-24T03-30-00Z_1200.rdb`. A dump can be restored
without any other file.
"""

from __future__ import annotations

import calendar
import contextlib
import json
import os
import re
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from .programs import Failed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = 86400
_PARTIAL = ".partial-"
_STAMP = "%Y-%m-%dT%H-%M-%SZ"
_NAME = re.compile(
    r"(?P<stamp>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}Z)_(?P<items>[0-9]+)"
    r"(?P<note>-before-restore)?\.(?:rdb|archive\.gz|dump)"
)
BEFORE_RESTORE = "-before-restore"


@dataclass(frozen=True)
class Dump:
    """One dump: its file, its time, and its number of keys, documents or rows.

    A dump that is only in the restic repository has restic's id in `snapshot`, and a `size` of 0.
    """

    path: Path
    taken: float
    items: int
    size: int
    snapshot: str = ""

    @property
    def name(self) -> str:
        """The name by which people refer to the dump: its time.

        No two dumps of a store have the same name.
        """
        return time.strftime(_STAMP, time.gmtime(self.taken))

    @property
    def is_before_restore(self) -> bool:
        """Whether a restore made this dump, to save the data that it was about to replace."""
        return BEFORE_RESTORE in self.path.name


def read_name(path: Path, size: int = 0, snapshot: str = "") -> Dump | None:
    """Return the dump that the file name of this path describes; None if it is not the name of a dump."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        return None
    try:
        taken = time.strptime(found["stamp"], _STAMP)
    except ValueError:
        return None
    return Dump(path, calendar.timegm(taken), int(found["items"]), size, snapshot)


class Shelf:
    """The dumps of a host, in one folder for each store. Only root can read the dumps."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Remember the folder of the dumps, and change nothing yet."""
        self.folder = folder
        self._clock = clock

    def dumps(self, store: str) -> list[Dump]:
        """Return the complete dumps of a store, the newest first."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for path in (self.folder / store).iterdir():
                dump = read_name(path, path.lstat().st_size)
                if dump is not None:
                    found.append(dump)
        return sorted(found, key=lambda dump: dump.taken, reverse=True)

    def put(
        self,
        store: str,
        ending: str,
        write: Callable[[IO[bytes]], None],
        check: Callable[[Path], int],
        note: str = "",
    ) -> Dump:
        """Take a dump of a store.

        The file gets its final name only after it is written, checked and on the disk.

        Args:
            store: the store's name.
            ending: ending of the file's name, such as ".rdb".
            write: a function that writes the dump to a file.
            check: a function that reads the dump back and returns its number of items.
            note: a text to add to the dump's name.

        Raises:
            Failed: the dump could not be written, or is not complete. An incomplete dump is removed.
        """
        folder = self.folder / store
        taken = int(self._clock())
        partial = folder / f"{_PARTIAL}{taken}{ending}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            for leftover in folder.glob(f"{_PARTIAL}*"):
                leftover.unlink()  # the rest of an interrupted run: two runs never overlap
            with partial.open("xb") as file:
                os.fchmod(file.fileno(), 0o600)
                write(file)
                file.flush()
                os.fsync(file.fileno())
            items = check(partial)
            stamp = time.strftime(_STAMP, time.gmtime(taken))
            path = folder / f"{stamp}_{items}{note}{ending}"
            partial.rename(path)
            sync_folder(folder)
        except OSError as error:
            raise Failed(
                f"the backup cannot be written to {folder}: {os.strerror(error.errno or 0)}"
            ) from None
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()
        return Dump(path, taken, items, path.stat().st_size)

    def prune(self, store: str, days: int) -> list[Dump]:
        """Remove a store's dumps that are older than `days`, but never its newest dump.

        Return the removed dumps.
        """
        oldest = self._clock() - days * DAY
        regular = [dump for dump in self.dumps(store) if not dump.is_before_restore]
        aside = [dump for dump in self.dumps(store) if dump.is_before_restore]
        gone = [dump for dump in [*regular[1:], *aside] if dump.taken < oldest]
        for dump in gone:
            dump.path.unlink()
        return gone


class Status:
    """The results of the last runs: one JSON file, which is replaced as a whole."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Remember the path of the status file, and read nothing yet."""
        self._path = path
        self._clock = clock

    def read(self) -> dict[str, Any]:
        """Return the entry of each store. Return no entries if the status file is not valid."""
        try:
            found = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def success(self, store: str, dump: Dump | None = None) -> None:
        """Note that a store was backed up."""
        where = {"file": str(dump.path), "bytes": dump.size, "items": dump.items} if dump else {}
        self._write(store, {"success": self._clock(), "attempt": self._clock(), "reason": "", **where})

    def failure(self, store: str, reason: str) -> None:
        """Note why a backup failed. The time of the last success is kept."""
        known = self.read().get(store) or {}
        self._write(store, {**known, "attempt": self._clock(), "reason": reason})

    def _write(self, store: str, entry: dict[str, Any]) -> None:
        temporary = self._path.with_name(f".{self._path.name}.new")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump({**self.read(), store: entry}, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        sync_folder(self._path.parent)


def sync_folder(folder: Path) -> None:
    """Flush the folder to the disk, so that a rename in the folder survives a power failure."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
