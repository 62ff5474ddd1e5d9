"""The command `portcullis-backup` with its subcommands run, list, restore and send."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import job, restore
from .config import CONFIG, Config, load
from .programs import Failed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import NoReturn


_STORES = "such as redis, mongo, mongo.shop or postgres.shop"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, and return the exit status."""
    options = _parser().parse_args(arguments)
    os.umask(0o077)
    signal.signal(signal.SIGTERM, _stop)
    try:
        config = load(options.config)
        if options.verb == "list":
            found = restore.listed(config, options.store)
            _say(json.dumps(found) if options.json else restore.table(found))
            return 0
        with _locked(config):
            if options.verb == "run":
                return 0 if job.run(config, _say, accept_empty=options.accept_empty) else 1
            restore.restore(config, options.store, options.dump, _say, safety=not options.no_safety_dump)
            return 0
    except Failed as failure:
        _say(f"error: {failure}")
        return 1
    except KeyboardInterrupt:
        _say("error: interrupted")
        return 1


@contextlib.contextmanager
def _locked(config: Config) -> Iterator[None]:
    """Hold the lock, so that no other backup or restore runs at the same time."""
    config.folder.mkdir(mode=0o700, exist_ok=True)
    with (config.folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(
                "another backup or restore is running on this host; try again when it has ended"
            ) from None
        yield


def _stop(number: int, _frame: object) -> NoReturn:
    raise Failed(f"the backup job was stopped by {signal.Signals(number).name}")


def _say(text: str) -> None:
    """Print a line. A restore continues if the connection to its caller breaks."""
    with contextlib.suppress(OSError):
        os.write(1, f"{text}\n".encode())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="portcullis-backup", description="Backups of this host's stores.")
    parser.add_argument("--config", type=Path, default=CONFIG, help=argparse.SUPPRESS)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="back up every store now")
    run.add_argument(
        "--accept-empty", action="store_true", help="accept an empty dump of a store that had data before"
    )
    listing = verbs.add_parser("list", help="list the backups, the newest first")
    listing.add_argument("store", nargs="?", default="", help=_STORES)
    listing.add_argument("--json", action="store_true", help="print JSON")
    back = verbs.add_parser("restore", help="replace the data of a store with a backup")
    back.add_argument("store", help=_STORES)
    back.add_argument("dump", help='the name of a backup in the list, or "latest"')
    back.add_argument(
        "--no-safety-dump",
        action="store_true",
        help="do not dump the present data first, for a store that is broken",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
