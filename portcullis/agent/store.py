"""The agent's records on the host: a folder for each resource, with its owner and its original state.

The record is ``/var/lib/portcullis/items/<key>/record.json``. A copy of the original file is in the same
folder. The host has no other list of a stack's resources. Only root can read these files.
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

    `owner` is the URN of the Pulumi resource that declares it. `original` is the state before our first
    change, and never changes afterwards. `pending` is set during a change: if it is still set later, that
    change was interrupted. `extra` has values that only the resource's kind reads and writes.
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
    """Return a new revision, which differs from all earlier ones.

    A revision is the present time, in a form that people can read.
    """
    now = time.time_ns()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 10**9))}.{now % 10**9 // 1000:06d}Z"


class Store:
    """The records under one folder.

    Several threads may use the store, as long as no two threads work on the same record.
    """

    def __init__(self, root: Path) -> None:
        """Store the path and make no folder yet, so that a preview leaves no trace."""
        self._root = root
        self._items = root / "items"
        self._folders = threading.Lock()

    def folder(self, kind: str, item: str) -> Path:
        """Return the folder of a resource's record and original. The folder may not exist yet."""
        return self._items / hashlib.sha256(f"{kind} {item}".encode()).hexdigest()[:32]

    def load(self, kind: str, item: str) -> Record | None:
        """Return the record of a resource, or None if it has no record.

        Raises `AgentError` (``unreadable``) for a damaged record.
        """
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
                f"the agent cannot read its record {path} on the host",
                hint="look at the record; if you delete the record's folder, the resource counts as never "
                "managed",
            ) from None

    def all(self) -> Iterator[Record]:
        """Yield every record that can be read.

        Damaged records are left out, so the list may be incomplete.
        """
        try:
            folders = sorted(self._items.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return
        for folder in folders:
            if folder.name.startswith(_GONE):
                continue
            with contextlib.suppress(AgentError):
                record = self._read(folder)
                if record is not None:
                    yield record

    def make_folder(self, kind: str, item: str) -> Path:
        """Make `folder` for root alone if it is missing, and return it."""
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
        """Drop a record.

        If it was the last record, the whole state folder is removed, including cache and baseline.
        """
        folder = self.folder(record.kind, record.id)
        with contextlib.suppress(FileNotFoundError):
            folder.replace(folder.with_name(_GONE + folder.name))  # one step, so a killed `drop` is complete
        self.tidy()

    def tidy(self) -> None:
        """Remove the folders that `drop` left behind because it was killed."""
        for gone in self._items.glob(f"{_GONE}*"):
            shutil.rmtree(gone, ignore_errors=True)
        with self._folders, contextlib.suppress(OSError):
            with contextlib.suppress(FileNotFoundError):
                self._items.rmdir()  # This fails, and ends the removal, while another record exists
            for ours in ("agent", "inventory"):
                shutil.rmtree(self._root / ours, ignore_errors=True)
            self._root.rmdir()  # This fails while guards exist, because their changes may still be undone
