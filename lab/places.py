"""The folders of the lab: the cache for lasting files, and /run for the live state.

The live state is not in the cache. Namespaces and addresses belong to the machine, so two checkouts with
different caches must read the same live state.
"""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

LIVE = Path("/run/portcullis-lab")
LOCK = LIVE / "lock"
STATE = LIVE / "state.json"
LOGS = LIVE / "log"


def cache() -> Path:
    """Return the lab's part of the cache: ``lab`` under ``$PORTCULLIS_CACHE`` or ``~/.cache/portcullis``."""
    named = os.environ.get("PORTCULLIS_CACHE")
    return (Path(named).absolute() if named else Path.home() / ".cache" / "portcullis") / "lab"


def made(folder: Path, mode: int = 0o755) -> Path:
    """Return the folder ``folder``. Make the folder if needed."""
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    return folder
