"""Where the lab keeps things: what is worth keeping in the cache, what dies with the machine under /run.

The live state is not in the cache: namespaces and addresses belong to the machine, so two checkouts with
different caches must still see each other.
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
    """Return ``folder``, made if need be."""
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    return folder
