"""List the backups, restore a backup, and send a backup to another host."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from .programs import Failed
from .shelf import BEFORE_RESTORE, Dump, Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config import Config, Store

LATEST = "latest"


def listed(config: Config, wanted: str) -> list[dict[str, Any]]:
    """Return the dumps of one store or of all stores, the newest first.

    Raises `Failed` if the store is unknown or restic fails.
    """
    found = []
    for name in [_store(config, wanted)[0].name] if wanted else config.stores:
        for dump in _dumps(config, name):
            place = "restic" if dump.snapshot else "here"
            found.append({
                "store": name, "name": dump.name, "taken": dump.taken, "items": dump.items, "place": place,
                "bytes": dump.size, "holds": config.stores[name].holds, "aside": dump.is_before_restore,
            })  # fmt: skip
    return found


def table(found: list[dict[str, Any]]) -> str:
    """Return the list of backups as a table for people."""
    width = max((len(dump["store"]) for dump in found), default=0)
    lines = [
        f"{dump['store']:<{max(width, 8)}} {dump['name']}  {dump['items']:>10} {dump['holds']:<9} "
        f"{'' if dump['place'] == 'restic' else dump['bytes']:>12}  {dump['place']}"
        + ("  set aside by a restore" if dump["aside"] else "")
        for dump in found
    ]
    return "\n".join(lines or ["there is no backup yet"])


def restore(
    config: Config, wanted: str, which: str, say: Callable[[str], None], *, safety: bool = True
) -> None:
    """Replace the data of a store with a dump. The present data is dumped first.

    Raises:
        Failed: with what went wrong, and which data the store has now.
    """
    store, part = _store(config, wanted)
    dump = _chosen(config, store.name, which)
    shelf = Shelf(config.folder)
    with contextlib.ExitStack() as stack:
        if dump.snapshot:
            dump = _fetched(config, shelf, store, dump)
            say(f"{dump.name}: fetched from the restic repository")
            stack.callback(dump.path.unlink)
        items = store.check(dump.path)
        say(f"{dump.name}: complete, {items} {store.holds}")
        if safety:
            aside = _set_aside(shelf, store)
            had = f"the data of {store.name} until now, {aside.items} {store.holds}"
            say(f"{aside.name}: {had}; restore it to undo")
            store.check_version(dump.path, aside.path)
        try:
            store.restore(dump.path, part, say)
        except Failed as failure:
            hint = (
                f"; `portcullis-backup restore {wanted} {aside.name}` brings its data back" if safety else ""
            )
            raise Failed(f"{failure}{hint}") from None


def _store(config: Config, wanted: str) -> tuple[Store, str]:
    if wanted in config.stores:  # the name of a store of PostgreSQL contains a dot
        return config.stores[wanted], ""
    name, _, part = wanted.partition(".")
    databases = [store for store in config.stores if store.startswith(f"{wanted}.")]
    if databases:
        raise Failed(
            f"{wanted!r} has a backup of each of its databases; name one of them: {', '.join(databases)}"
        )
    if name not in config.stores or config.stores[name].holds != "documents":
        parts = (f"{known}.DATABASE" for known, s in config.stores.items() if s.holds == "documents")
        known = [*config.stores, *parts]
        raise Failed(f"{wanted!r} is not a store of this host; its stores: {', '.join(known) or 'none'}")
    return config.stores[name], part


def _dumps(config: Config, name: str) -> list[Dump]:
    here = Shelf(config.folder).dumps(name)
    known = {dump.name for dump in here}
    there = config.repository.dumps(name) if config.repository else []
    both = [*here, *(dump for dump in there if dump.name not in known)]
    return sorted(both, key=lambda dump: dump.taken, reverse=True)


def _chosen(config: Config, name: str, which: str) -> Dump:
    # A dump on this host needs no repository, which may not answer at the moment.
    for dump in Shelf(config.folder).dumps(name):
        if dump.name == which:
            return dump
    dumps = _dumps(config, name)
    if which == LATEST:
        # Skip dumps that a restore set aside, and empty dumps, such as the first backup of a new machine.
        dumps = [dump for dump in dumps if not dump.is_before_restore and dump.items]
        if dumps:
            return dumps[0]
        raise Failed(f"{name} has no backup with data; `portcullis-backup list {name}` lists its backups")
    for dump in dumps:
        if dump.name == which:
            return dump
    raise Failed(f"there is no backup {which} of {name}; `portcullis-backup list {name}` lists the backups")


def _fetched(config: Config, shelf: Shelf, store: Store, dump: Dump) -> Dump:
    """Copy a dump from the repository to a file of its own, which no list shows."""
    repository = config.repository
    if repository is None:
        raise Failed("no restic repository is declared")
    path = shelf.folder / f".fetched{store.ending}"
    try:
        with path.open("wb") as file:
            repository.fetch(dump, file)
    except BaseException:
        path.unlink()
        raise
    return Dump(path, dump.taken, dump.items, path.stat().st_size)


def _set_aside(shelf: Shelf, store: Store) -> Dump:
    try:
        return shelf.put(store.name, store.ending, store.dump, store.check, BEFORE_RESTORE)
    except Failed as failure:
        raise Failed(
            f"the restore changed nothing, because it could not save the present data of {store.name}: "
            f"{failure}\n`--no-safety-dump` restores without saving the present data (make restore: "
            "SAFETY=no)"
        ) from None
