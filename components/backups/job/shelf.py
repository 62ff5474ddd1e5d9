"""The folder of dumps: their names, how one gets there whole, and which of them go.

A dump's name tells when it was taken and how much is in it: `2026-11-24T03-30-00Z_1200.rdb`. Nothing else has
to be there to use it.
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
    r"(?P<note>-before-restore)?\.(?:rdb|archive\.gz)"
)
BEFORE_RESTORE = "-before-restore"


@dataclass(frozen=True)
class Dump:
    """One dump: where it is, when it was taken, how many keys or documents it holds.

    `snapshot` is restic's, for one that is only there; `size` is 0 then.
    """

    path: Path
    taken: float
    items: int
    size: int
    snapshot: str = ""

    @property
    def name(self) -> str:
        """What people call it: the moment, which no two dumps of a store share."""
        return time.strftime(_STAMP, time.gmtime(self.taken))

    @property
    def is_before_restore(self) -> bool:
        """Whether it is what a restore set aside."""
        return BEFORE_RESTORE in self.path.name


def read_name(path: Path, size: int = 0, snapshot: str = "") -> Dump | None:
    """Return the dump that a path names, or None."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        return None
    try:
        taken = time.strptime(found["stamp"], _STAMP)
    except ValueError:
        return None
    return Dump(path, calendar.timegm(taken), int(found["items"]), size, snapshot)


class Shelf:
    """The dumps of a host, one folder a store; for root alone."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Touch nothing yet."""
        self.folder = folder
        self._clock = clock

    def dumps(self, store: str) -> list[Dump]:
        """Return the whole dumps of a store, the newest first."""
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
        """Take a dump: written beside its place, checked, on the disk, and only then called by its name.

        Args:
            store: whose it is.
            ending: of the file's name, such as ".rdb".
            write: writes it.
            check: reads it back and tells how much is in it.
            note: more for its name.

        Raises:
            Failed: it could not be written, or is not whole; nothing of it is left.
        """
        folder = self.folder / store
        taken = int(self._clock())
        partial = folder / f"{_PARTIAL}{taken}{ending}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            for leftover in folder.glob(f"{_PARTIAL}*"):
                leftover.unlink()  # of a run that was cut off: no two run at once
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
            raise Failed(f"{folder} cannot be written: {os.strerror(error.errno or 0)}") from None
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()
        return Dump(path, taken, items, path.stat().st_size)

    def prune(self, store: str, days: int) -> list[Dump]:
        """Take away what is older than that, never the newest one; return what went."""
        oldest = self._clock() - days * DAY
        regular = [dump for dump in self.dumps(store) if not dump.is_before_restore]
        aside = [dump for dump in self.dumps(store) if dump.is_before_restore]
        gone = [dump for dump in [*regular[1:], *aside] if dump.taken < oldest]
        for dump in gone:
            dump.path.unlink()
        return gone


class Status:
    """What the last runs came to, for whoever asks: one JSON file, written in one step."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Read nothing yet."""
        self._path = path
        self._clock = clock

    def read(self) -> dict[str, Any]:
        """Return what is known of each store; a file that makes no sense tells nothing."""
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
        """Note why it was not; the last success stays known."""
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
    """Make a rename in the folder last."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
