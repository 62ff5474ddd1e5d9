"""Tells the user that stand-ins are in use, once for each run of the engine."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.plugins.plugin import Log

TEXT = "Official plugins are missing: stand-ins of the lab do their work (docs/plugin-stand-ins.md)."
_KEPT_SECONDS = 24 * 3600


def announce(log: Log, engine: int) -> None:
    """Tell it, unless another stand-in of the same engine process has.

    One run starts each plugin more than once. The first whose line gets to the engine notes it in a file that
    is named after the engine process. The others wait meanwhile, as it may be killed before that.
    """
    folder = Path(os.environ.get("PORTCULLIS_CACHE") or Path.home() / ".cache" / "portcullis") / "stand-ins"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            with suppress(FileNotFoundError):  # another plugin tidies, too
                if old.stat().st_mtime < time.time() - _KEPT_SECONDS:
                    old.unlink()
        with (folder / f"{engine}-{_started(engine)}").open("a", encoding="utf-8") as note:
            fcntl.flock(note, fcntl.LOCK_EX)
            if not os.fstat(note.fileno()).st_size and log(TEXT):
                note.write("told\n")
    except OSError:
        log(TEXT)  # said too often is better than not at all


def _started(process: int) -> str:
    """Return when a process started, in clock ticks since the boot.

    The start time is needed because the kernel reuses process ids.
    """
    stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    return stat.rpartition(")")[2].split()[19]
