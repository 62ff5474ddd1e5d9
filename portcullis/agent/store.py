"""What the agent remembers on the host: one folder per thing, with its owner and what stood there before.

``/var/lib/portcullis/items/<key>/record.json`` and, beside it, the bytes of the original. The list of a
stack's things is nothing but its records. Everything is root's alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import threading
import time
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from portcullis.agent import disk
from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_GONE = ".gone-"  # how the folder of a dropped thing is called until it is empty


@dataclass
class Record:
    """One thing that is managed, as it is remembered.

    `owner` is the client's name for who declares it, `original` what stood there on first touch; it never
    changes afterwards. `pending` stands while a change is under way: found later, it tells of one that was
    cut off. `extra` belongs to the kind.
    """

    kind: str
    id: str
    stack: str
    owner: str
    spec: dict[str, Any]
    revision: str
    original: dict[str, Any]
    pending: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


def revision() -> str:
    """A text no earlier write carries: the time, so that people can read it."""
    now = time.time_ns()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 10**9))}.{now % 10**9 // 1000:06d}Z"


class Store:
    """The records under one folder. Safe for several threads as long as no two work on the same record."""

    def __init__(self, root: Path) -> None:
        """Touch nothing yet: a preview leaves no trace."""
        self._root = root
        self._items = root / "items"
        self._folders = threading.Lock()

    def folder(self, kind: str, item: str) -> Path:
        """Where a thing's record and original live; it may not exist."""
        return self._items / hashlib.sha256(f"{kind} {item}".encode()).hexdigest()[:32]

    def load(self, kind: str, item: str) -> Record | None:
        """The record, or None. Raises `AgentError` (``unreadable``) when it is there and makes no sense."""
        return self._read(self.folder(kind, item))

    def _read(self, folder: Path) -> Record | None:
        path = folder / "record.json"
        try:
            data = json.loads(path.read_bytes())
            known = {f.name for f in fields(Record)}
            return Record(**{key: value for key, value in data.items() if key in known})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, AttributeError):
            raise AgentError(
                "unreadable",
                f"the record {path} on the host cannot be read",
                hint="look at it; deleting its folder makes the thing count as never managed",
            ) from None

    def all(self) -> Iterator[Record]:
        """Every record that can be read. One that cannot is left out: the list is only a hint."""
        try:
            folders = sorted(self._items.iterdir())
        except FileNotFoundError:
            return
        for folder in folders:
            if folder.name.startswith(_GONE):
                continue
            with contextlib.suppress(AgentError):
                record = self._read(folder)
                if record is not None:
                    yield record

    def make_folder(self, kind: str, item: str) -> Path:
        """`folder`, made if missing, for root alone."""
        folder = self.folder(kind, item)
        try:
            with self._folders:
                if not folder.exists():
                    for path in (self._root, self._items, folder):
                        path.mkdir(mode=0o700, parents=True, exist_ok=True)
                    self._root.chmod(0o700)
                for leftover in folder.glob(f".*{disk.MARK}*"):
                    leftover.unlink()  # of a write that was cut off
        except OSError as error:
            raise disk.write_error(error, folder) from None
        return folder

    def save(self, record: Record) -> None:
        """Write the record, atomically."""
        folder = self.make_folder(record.kind, record.id)
        disk.write(folder / "record.json", json.dumps(asdict(record), indent=1).encode() + b"\n")

    def drop(self, record: Record) -> None:
        """Forget a thing; with the last one the whole state folder goes, the cache and the baseline too."""
        folder = self.folder(record.kind, record.id)
        with contextlib.suppress(FileNotFoundError):
            folder.replace(folder.with_name(_GONE + folder.name))  # first: killed here, it is gone as a whole
        self.tidy()

    def tidy(self) -> None:
        """Finish what a killed `drop` left."""
        for gone in self._items.glob(f"{_GONE}*"):
            shutil.rmtree(gone, ignore_errors=True)
        with self._folders, contextlib.suppress(OSError):
            with contextlib.suppress(FileNotFoundError):
                self._items.rmdir()  # fails while another thing has a folder, which is the test
            for ours in ("agent", "inventory"):
                shutil.rmtree(self._root / ours, ignore_errors=True)
            self._root.rmdir()  # fails while there are guards: they may still have to be put back
