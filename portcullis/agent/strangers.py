"""What lies in a part's own folder and is neither declared nor as its package brings it.

A part tells of it by name and leaves it where it is. Debian's packages bring what is below /etc as conffiles
(Debian Policy, 10.7.2), each with its sum in dpkg's status file; links and folders they make by script.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict

from portcullis.agent import disk, paths, safe_paths
from portcullis.agent.errors import HostError
from portcullis.agent.step import WARN, Step

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import Callable

    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store

ABSENT = "absent"
"""What a step says is declared of a stranger."""
KEPT = "strangers"
"""Where a record's original has the marks of what was there before us."""
LIMIT = 2_000  # entries of a folder; more is told as one
_FIRST = 3  # files in one message
_SHOWN = 200  # characters of a text
_CONFFILE = re.compile(r" (\S+) ([0-9a-f]{32})(?: (obsolete|remove-on-upgrade))?")
_USUAL_FILE, _USUAL_FOLDER = (0o644, 0o755), (0o755,)


@dataclass(frozen=True)
class Stranger:
    """One of them.

    Attributes:
        text: what people read: no time and no content.
        mark: a digest of it, which stays on the host.
        open_to_all: every account of the host may read it.
        changed: it is a package's file that was changed, or is gone; else nobody knows it.
    """

    text: str
    mark: str
    open_to_all: bool = False
    changed: bool = False


Strangers = Dict[str, Stranger]


def read(
    machine: Machine, store: Store, folder: Path, explained: Callable[[Path, str], bool] | None = None
) -> Strangers:
    """Look at a folder, and at all that is below it.

    Args:
        machine: the host.
        store: what is declared.
        folder: the part's folder.
        explained: tells of a link and its target whether a package's script makes it.

    Raises:
        HostError: ``unreadable``.
    """
    shipped = conffiles(machine, folder)
    kept = _overrides(machine)
    found: Strangers = {}
    seen = set()
    for path, status in _walk(folder):
        name = str(path)
        seen.add(name)
        if len(found) > LIMIT:
            found[str(folder)] = Stranger(f"over {LIMIT} entries that nobody declared", "")
            break
        if is_declared(store, path):
            continue
        one = _entry(path, status, shipped.get(name), explained)
        if one is None and name not in kept and (fault := _access(status)):
            one = Stranger(fault, fault, changed=True)
        if one is not None:
            found[name] = one
    for name in sorted(set(shipped) - seen):
        if not is_declared(store, Path(name)):
            found[name] = Stranger("gone; its package brings it", "gone", changed=True)
    return found


def told(found: Strangers, record: Record | None, accepted: Collection[str]) -> dict[str, str]:
    """Return what is told to people: without what is accepted, or was there before us as it is now."""
    before: Mapping[str, str] = record.original.get(KEPT) or {} if record else {}
    return {
        _printable(name): _printable(one.text)
        for name, one in sorted(found.items())
        if name not in accepted and before.get(name) != one.mark
    }


def marks(found: Strangers) -> dict[str, str]:
    """Return what a record's original keeps of them, under `KEPT`."""
    return {name: one.mark for name, one in found.items()}


def steps(found: Mapping[str, str]) -> list[Step]:
    """Return a step that only tells, for each of them."""
    return [Step(f'strangers["{name}"]', text, ABSENT, WARN) for name, text in found.items()]


def is_declared(store: Store, path: Path) -> bool:
    """Return whether a resource of some stack has this file or folder."""
    name = str(path)
    if not name.isprintable():  # no resource has such a path, and bytes that are no text have no record
        return False
    return any((store.folder(kind, name) / "record.json").exists() for kind in ("file", "directory"))


def conffiles(machine: Machine, folder: Path) -> dict[str, str]:
    """Return the path and md5 of every conffile below a folder, of packages as dpkg knows them."""
    try:
        text = (machine.dpkg / "status").read_text("utf-8", "replace")
    except OSError:
        return {}
    found, at, start = {}, -1, f"\n {folder}/"
    while (at := text.find(start, at + 1)) >= 0:
        end = text.find("\n", at + 1)
        line = _CONFFILE.fullmatch(text[at + 1 : end if end >= 0 else len(text)])
        if line and not line[3]:
            found[line[1]] = line[2]
    return found


def by_hand(machine: Machine, store: Store, changed: Collection[Path]) -> list[str]:
    """Return those of some files that somebody else wrote: neither declared nor as their package brings them.

    Raises:
        HostError: ``unreadable``.
    """
    theirs = [path for path in changed if not is_declared(store, path)]
    return [str(path) for path in theirs if conffiles(machine, path.parent).get(str(path)) != digest(path)]


def named(error: HostError, names: Collection[str]) -> HostError:
    """Return an error that first names the files that somebody changed by hand; itself without any."""
    if not names:
        return error
    many = f" and {len(names) - _FIRST} more" if len(names) > _FIRST else ""
    what = ", ".join(_printable(name) for name in list(names)[:_FIRST]) + many
    return HostError(
        error.code,
        f"{what} {'was' if len(names) == 1 else 'were'} changed by hand; then {error.message}",
        prop=error.prop,
        hint=error.hint or "put that right on the host, then run again",
        detail=error.detail,
    )


def digest(path: Path) -> str:
    """Return the md5 of a file, as dpkg has it. Raises `HostError` (``unreadable``)."""
    found = hashlib.md5(usedforsecurity=False)
    with disk.reading(path) as place:
        fd = place.open()
        try:
            for piece in safe_paths.pieces(fd):
                found.update(piece)
        finally:
            os.close(fd)
    return found.hexdigest()


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Give the folder and everything below it, without our own unfinished writes. No link is followed."""
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                names = sorted(os.listdir(path))  # noqa: PTH208 - names are wanted
                waiting += [path / name for name in names if not (name[0] == "." and disk.MARK in name)]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise disk.unreadable(error, path) from None
        yield path, status


def _entry(
    path: Path,
    status: os.stat_result,
    shipped: str | None,
    explained: Callable[[Path, str], bool] | None,
) -> Stranger | None:
    """What a folder's entry is, if it is no package's."""
    if stat.S_ISDIR(status.st_mode):
        return None  # what is in it decides
    if stat.S_ISLNK(status.st_mode):
        return _link(path, shipped, explained)
    if not stat.S_ISREG(status.st_mode):
        text = paths.type_name(status)
        return Stranger(text, text, changed=shipped is not None)
    try:
        have = digest(path)
    except HostError as error:
        return Stranger(f"cannot be read: {error.message}", "", changed=shipped is not None)
    if have == shipped:
        return None
    access = _access(status)
    text = "changed by hand: not as its package brings it" if shipped else "nobody declared it"
    text += f"; {access}" if access else ""
    is_open = bool(status.st_mode & stat.S_IROTH)
    return Stranger(text, f"{have} {text}", open_to_all=is_open, changed=shipped is not None)


def _link(path: Path, shipped: str | None, explained: Callable[[Path, str], bool] | None) -> Stranger | None:
    try:
        target = str(path.readlink())
    except OSError as error:
        raise disk.unreadable(error, path) from None
    if shipped is None and explained is not None and explained(path, target):
        return None
    text = f"a link to {target}"
    return Stranger(text, text, open_to_all=_is_open_behind(path), changed=shipped is not None)


def _is_open_behind(link: Path) -> bool:
    try:
        return bool(link.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _access(status: os.stat_result) -> str:
    """What is unusual about who may do what, "" for nothing: root's, and written by nobody else."""
    if stat.S_ISLNK(status.st_mode):
        return ""
    mode = stat.S_IMODE(status.st_mode)
    faults = []
    if (status.st_uid, status.st_gid) != (0, 0):
        faults.append(f"belongs to {paths.user_name(status.st_uid)}:{paths.group_name(status.st_gid)}")
    usual = _USUAL_FOLDER if stat.S_ISDIR(status.st_mode) else _USUAL_FILE
    if mode not in usual:
        faults.append(f"mode {paths.mode_text(mode)}, where {paths.mode_text(usual[0])} is usual")
    return ", ".join(faults)


def _overrides(machine: Machine) -> set[str]:
    """The paths whose owner and mode an administrator told dpkg to keep: dpkg-statoverride(1)."""
    try:
        lines = (machine.dpkg / "statoverride").read_text("utf-8", "replace").splitlines()
    except OSError:
        return set()
    return {line.split(" ", 3)[3] for line in lines if line.count(" ") > 2}  # noqa: PLR2004 - four fields


def _printable(text: str) -> str:
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return clean if len(clean) <= _SHOWN else f"{clean[: _SHOWN - 1]}…"
