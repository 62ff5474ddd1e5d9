"""One run of the job: dump, check and copy every store, prune old dumps, and note the result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .programs import RUN, Failed, share
from .shelf import Dump, Shelf, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config import Config, Store

RESTIC = "restic"


def run(config: Config, say: Callable[[str], None], *, accept_empty: bool = False) -> bool:
    """Back up everything, and return whether all of it worked. The failure of one store stops no other."""
    shelf, status = Shelf(config.folder), Status(config.status)
    taken: list[Dump] = []
    complete = True
    last = {name: next((dump.size for dump in shelf.dumps(name)), 0) for name in config.stores}
    ends = time.monotonic() + RUN
    # What is quick leaves its time to the others.
    waiting = sorted(config.stores, key=last.__getitem__)
    while waiting:
        now, share.stores = time.monotonic(), len(waiting)
        share.ends = now + (ends - now) / share.stores
        name = waiting.pop(0)
        store = config.stores[name]
        # The next dump of each store that waits may be twice as large as its last one.
        share.reserved = 2 * sum(last[other] for other in waiting)
        try:
            dump = _store(shelf, status, store, accept_empty=accept_empty)
        except Exception as failure:  # noqa: BLE001 - the container decides what it sends
            complete = False
            why = str(failure) if isinstance(failure, Failed) else f"{type(failure).__name__} in its backup"
            status.failure(name, why)
            say(f"{name}: FAILED: {why}")
            continue
        taken.append(dump)
        say(f"{name}: {dump.items} {store.holds} in {dump.size} bytes, {dump.path}")
        # Prune only after there is a new dump.
        for gone in shelf.prune(name, config.keep):
            say(f"{name}: removed {gone.name}, which is older than {config.keep} days")
    share.ends, share.reserved, share.stores = float("inf"), 0, 1
    if config.repository is not None and taken:
        try:
            config.repository.keep(taken, config.keep, forget=complete)
        except Failed as failure:
            complete = False
            status.failure(RESTIC, str(failure))
            say(f"{RESTIC}: FAILED: {failure}")
        else:
            # A copy of some stores is not a backup of all.
            if complete:
                status.success(RESTIC)
            say(f"{RESTIC}: {len(taken)} dumps copied")
    return complete


def _store(shelf: Shelf, status: Status, store: Store, *, accept_empty: bool) -> Dump:
    """Dump one store."""
    before = status.read().get(store.name) or {}
    store.wait()
    dump = shelf.put(store.name, store.ending, store.dump, store.check)
    if dump.items == 0 and before.get("items") and not accept_empty:
        # Otherwise the good dumps would be pruned, one a day, and nobody would notice.
        dump.path.unlink()
        raise Failed(
            f"the store {store.name} has no {store.holds}, but its last backup had {before['items']}; "
            "restore this backup, or accept the empty store with `portcullis-backup run --accept-empty`"
        )
    status.success(store.name, dump)
    return dump
