"""The job's settings: one JSON file that the component `Backup` writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .mongo import Mongo
from .postgres import Postgres
from .programs import Failed
from .redis import Redis
from .repository import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG = Path("/etc/portcullis-backup/config.json")
Store = Redis | Mongo | Postgres


@dataclass(frozen=True)
class Config:
    """The stores, the folder of the dumps, how long dumps stay, and the repository for copies."""

    folder: Path
    keep: int
    stores: Mapping[str, Store]
    repository: Repository | None

    @property
    def status(self) -> Path:
        """The file with the results of the last runs."""
        return self.folder / "status.json"


def load(path: Path = CONFIG) -> Config:
    """Read the file. Raises `Failed`."""
    try:
        raw = json.loads(path.read_text("utf-8"))
        stores: dict[str, Store] = {}
        for name, store in raw["stores"].items():
            container, tls = store["container"], store.get("tls", "")
            if store["kind"] == "redis":
                stores[name] = Redis(name, container, bool(store["append_only"]), tls)
            elif store["kind"] == "postgres":
                stores[name] = Postgres(name, container, store["database"])
            else:
                stores[name] = Mongo(name, container, tls)
        restic = raw.get("restic")
        repository = Repository(
            restic["host"], *(Path(restic[key]) for key in ("address", "password", "environment", "cache"))
        ) if restic else None  # fmt: skip
        return Config(Path(raw["folder"]), int(raw["keep"]), stores, repository)
    except PermissionError:
        raise Failed(f"only root may read the settings file {path}; run the command with sudo") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failed(f"the settings file {path} is not valid: {error}") from None
