"""The agent's records on the host: a folder for each resource, with its owner and its original state.

The record is ``/var/lib/portcullis/items/<key>/record.json``, with the bytes of the original beside it. No
other list of a stack's resources exists. Only root can read these files.
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

_GONE = ".gone-"  # prefix of the folder of a dropped record until it is removed


@dataclass
class Record:
    """The record of one managed resource.

    `owner` is the client's name for the resource that declares it. `original` is the state before our first
    change, and never changes afterwards. `pending` is set during a change: if it is still set later, that
    change was interrupted. `extra` belongs to the kind.
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
    """Return a text that no earlier write has: the time, so that people can read it."""
    now = time.time_ns()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 10**9))}.{now % 10**9 // 1000:06d}Z"


class Store:
    """The records under one folder. Several threads may use it if no two work on the same record."""

    def __init__(self, root: Path) -> None:
        """Make no folder yet: a preview leaves no trace."""
        self._root = root
        self._items = root / "items"
        self._folders = threading.Lock()

    def folder(self, kind: str, item: str) -> Path:
        """Return the folder of a resource's record and original. It may not exist."""
        return self._items / hashlib.sha256(f"{kind} {item}".encode()).hexdigest()[:32]

    def load(self, kind: str, item: str) -> Record | None:
        """Return the record, or None. Raises `AgentError` (``unreadable``) for a damaged record."""
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
                hint="look at it; if you delete its folder, the resource counts as never managed",
            ) from None

    def all(self) -> Iterator[Record]:
        """Yield every record that can be read. Damaged records are left out: the list is only a hint."""
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
        """Return `folder`, made if missing, for root alone."""
        folder = self.folder(kind, item)
        try:
            with self._folders:
                if not folder.exists():
                    for path in (self._root, self._items, folder):
                        path.mkdir(mode=0o700, parents=True, exist_ok=True)
                    self._root.chmod(0o700)
                for leftover in folder.glob(f".*{disk.MARK}*"):
                    leftover.unlink()  # left by an interrupted write
        except OSError as error:
            raise disk.write_error(error, folder) from None
        return folder

    def save(self, record: Record) -> None:
        """Write the record in one step."""
        folder = self.make_folder(record.kind, record.id)
        disk.write(folder / "record.json", json.dumps(asdict(record), indent=1).encode() + b"\n")

    def drop(self, record: Record) -> None:
        """Drop a record. With the last record the whole state folder goes, with cache and baseline."""
        folder = self.folder(record.kind, record.id)
        with contextlib.suppress(FileNotFoundError):
            folder.replace(folder.with_name(_GONE + folder.name))  # in one step: a killed `drop` is complete
        self.tidy()

    def tidy(self) -> None:
        """Remove what a killed `drop` left."""
        for gone in self._items.glob(f"{_GONE}*"):
            shutil.rmtree(gone, ignore_errors=True)
        with self._folders, contextlib.suppress(OSError):
            with contextlib.suppress(FileNotFoundError):
                self._items.rmdir()  # fails, and ends this, while another record exists
            for ours in ("agent", "inventory"):
                shutil.rmtree(self._root / ours, ignore_errors=True)
            self._root.rmdir()  # fails while guards exist: their changes may still be undone
