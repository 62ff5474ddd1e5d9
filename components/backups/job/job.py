"""A run: every store dumped, checked and copied; old dumps pruned; the outcome noted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .programs import Failed
from .shelf import Dump, Shelf, Status

if TYPE_CHECKING:
    from typing import Callable

    from .config import Config, Store

RESTIC = "restic"


def run(config: Config, say: Callable[[str], None], *, accept_empty: bool = False) -> bool:
    """Back everything up; return whether all of it worked. One store's failure is its own."""
    shelf, status = Shelf(config.folder), Status(config.status)
    taken: list[Dump] = []
    complete = True
    for name, store in config.stores.items():
        try:
            dump = _store(shelf, status, store, accept_empty=accept_empty)
        except Exception as failure:  # noqa: BLE001 - whoever runs in its container chooses what it sends
            complete = False
            why = str(failure) if isinstance(failure, Failed) else f"{type(failure).__name__} in its backup"
            status.failure(name, why)
            say(f"{name}: FAILED: {why}")
            continue
        taken.append(dump)
        say(f"{name}: {dump.items} {store.holds} in {dump.size} bytes, {dump.path}")
        # Only now that there is a new one.
        for gone in shelf.prune(name, config.keep):
            say(f"{name}: {gone.name} is older than {config.keep} days, and gone")
    if config.repository is not None and taken:
        try:
            config.repository.keep(taken, config.keep, forget=complete)
        except Failed as failure:
            complete = False
            status.failure(RESTIC, str(failure))
            say(f"{RESTIC}: FAILED: {failure}")
        else:
            # A copy of some stores is no backup of all.
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
        # Otherwise the good ones would be pruned, one a day, while everything looks well.
        dump.path.unlink()
        raise Failed(
            f"it has no {store.holds} any more, and had {before['items']} in the last backup; "
            "restore that one, or run `portcullis-backup run --accept-empty` if it shall be empty"
        )
    status.success(store.name, dump)
    return dump
