"""Finds undeclared files in the configuration folder of a program such as nginx.

A file that still has the content from its Debian package is not reported. Portcullis reports undeclared files
by name and never removes them. Debian packages ship files below /etc as conffiles (Debian Policy, 10.7.2),
and dpkg's status file has the md5 sums of these conffiles. dpkg's status file does not list links and folders
that the script of a package makes.
"""

from __future__ import annotations

import hashlib
import os
import stat
import string
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk, packaged, paths, safe_paths
from portcullis.agent.errors import AgentError
from portcullis.agent.quotes import quoted
from portcullis.agent.root_folders import RootFolders
from portcullis.agent.step import WARN, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store

ABSENT = "absent"
"""The declared value in a step about an undeclared file. This value means that the file must not exist."""
UNKNOWN = "nobody declared it"
"""The description of an undeclared file that no package shipped begins with this text."""
LINK = "a link to "
"""The description of a link begins with this text."""
SOME_PACKAGE = "its package"
"""Stands for the package whose script installed the file with ucf(1), because its name is not known."""
OTHER_NAME = "its name has other characters than are shown"
"""The description of a file begins with this text if its path has characters that cannot be shown."""
OPEN, WRONG, COSMETIC = "open", "wrong", "cosmetic"
"""How bad an undeclared file is. The report has the same severities."""
REMOVE, EXTRACT, FROM_UCF = "remove", "extract", "from-ucf"
EXTRACT_OVER_FOLDER, FROM_UCF_OVER_FOLDER = "extract-over-folder", "from-ucf-over-folder"
CHOWN, CHMOD, CHOWN_AND_CHMOD = "chown", "chmod", "chown-and-chmod"
UNACCEPT, HOLD = "unaccept", "hold"
"""The actions of fixes. The report has the command of each action."""
BY_HAND = "by-hand"
"""The action for a path that another account can redirect. It has no command."""
OLD = "came with the machine"
"""The description begins with this text if the file was there before our first `up` and is changed or gone.
"""
WITHOUT_EFFECT = "is accepted but does not exist: remove it from the settings"
NOT_HELD = "is accepted by its path alone"
CHANGED = "changed since it was accepted"
HELD = "accepted"
"""In a record's `extra`, this key holds the reason and the mark of each accepted file."""
KEPT = "strangers"
"""In a record's `original`, this key holds the marks of the files from before our first `up`.

Hosts have records with this key, so it never changes.
"""
LIMIT = 2_000  # entries of a folder; more are reported as one
_GONE = "gone"  # the mark of a package's file that does not exist
_FIRST = 3  # files in one message
_SHOWN = 200  # characters of a text
_FILE, _FOLDER = 0o644, 0o755
_MOST = 0o755
_PLAIN = frozenset(string.ascii_letters + string.digits + "_./:,@*%=+[]~-")


Fix = tuple[str, ...]


@dataclass(frozen=True)
class UndeclaredFile:
    """One undeclared or changed file.

    Attributes:
        text: a description of the file for people, without its time and content.
        mark: a digest of the file, which is never sent to the client.
        open_to_all: whether every account of the host may read the file.
        changed: whether a package shipped the file and somebody changed or removed it. Otherwise the file is
            undeclared.
        quiet: whether the file has no effect or another check reports it.
        severity: how bad the file is.
        fix: an action, and its operands after the path. Without a fix, nobody knows how to repair the file.
    """

    text: str
    mark: str
    open_to_all: bool = False
    changed: bool = False
    quiet: bool = False
    severity: str = OPEN
    fix: Fix = ()

    def with_effect(self, words: str, *, has_effect: bool = True, is_named: bool = False) -> UndeclaredFile:
        """Return the file with a text that also tells its effect.

        Args:
            words: the effect.
            has_effect: whether the program reads the file, and the file sets something.
            is_named: whether the words name what the file sets.
        """
        severity = self.severity
        if not has_effect and not (self.changed and severity == OPEN):
            severity = COSMETIC
        elif is_named:
            severity = OPEN
        return replace(self, text=f"{self.text}; {words}", severity=severity)


UndeclaredFiles = dict[str, UndeclaredFile]


def read(
    machine: Machine,
    store: Store,
    folder: Path,
    *,
    ours: Collection[Path] = (),
    explained: Callable[[Path, str], bool] | None = None,
) -> UndeclaredFiles:
    """Find the undeclared files in a folder and everything below it.

    Args:
        machine: the host.
        store: the records of declared resources.
        folder: the configuration folder of a program, such as /etc/nginx.
        ours: the files in this folder that the program's own resources declare. `store` tells which files are
            declared by other resources, such as `File`.
        explained: a function that takes a link and its target, and returns whether a package's script makes
            that link.

    Raises:
        AgentError: ``unreadable``.
    """
    shipped = packaged.conffiles(machine, folder)
    kept = _overrides(machine)
    found: UndeclaredFiles = {}
    seen = set()
    for path, status in _walk(folder):
        name = str(path)
        seen.add(name)
        if len(found) > LIMIT:
            found[str(folder)] = UndeclaredFile(f"over {LIMIT} entries that nobody declared", "")
            break
        if path in ours or is_declared(store, path):
            continue
        sums = {shipped[name].digest: shipped[name].package} if name in shipped else {}
        one = _entry(path, status, sums, explained)
        if one is None and name not in kept and (fault := _access(status)):
            one = _with_fault(fault, status)
        if one is not None:
            found[name] = one
    for name in sorted(set(shipped) - seen):
        if Path(name) not in ours and not is_declared(store, Path(name)):
            found[name] = _gone(shipped[name].package)
    return found


def look(path: Path, shipped: Collection[str]) -> UndeclaredFile | None:
    """Check one file.

    Return None if its content is as ucf or a package shipped it, or if it is no regular file.

    Raises:
        AgentError: ``unreadable``.
    """
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return _gone(SOME_PACKAGE) if shipped else None
    except OSError as error:
        raise disk.unreadable(error, path) from None
    one, fault = _entry(path, status, dict.fromkeys(shipped, SOME_PACKAGE), None), _access(status)
    return one or (_with_fault(fault, status) if fault else None)


def told(found: UndeclaredFiles, record: Record | None, accepted: Collection[str]) -> UndeclaredFiles:
    """Return the undeclared files to report, by a path that can be shown.

    Files that are as they were accepted are left out, as are unchanged ones from before our first `up`.
    """
    before: Mapping[str, str] = record.original.get(KEPT) or {} if record else {}
    telling = {
        # An administrator chose the file that was there before, so no command removes it.
        name: replace(one, text=f"{OLD}, and was changed; {one.text}", fix=())
        if name in before and not one.changed
        else one
        for name, one in found.items()
        if not one.quiet and before.get(name) != one.mark
    }
    gone = [name for name in before if name not in found and not os.path.lexists(name)]
    telling.update(
        {name: UndeclaredFile(f"{OLD}, and is gone", ABSENT) for name in gone if before[name] != _GONE}
    )
    held: Mapping[str, Sequence[str]] | None = record.extra.get(HELD) if record else {}
    left = {
        name: one if name not in accepted else _not_as_accepted(one, held)
        for name, one in sorted(telling.items())
        if name not in accepted or held is None or held.get(name, ("", one.mark))[1] != one.mark
    }
    shown = dict(_shown(name, one) for name, one in left.items())
    # This acceptance is reported, because it would hide a file that appears later.
    unused = [name for name in sorted(accepted) if name not in found and name not in telling]
    no_effect = UndeclaredFile(WITHOUT_EFFECT, "", severity=COSMETIC, fix=(UNACCEPT,))
    return {**shown, **dict.fromkeys(unused, no_effect)}


def _not_as_accepted(one: UndeclaredFile, held: Mapping[str, Sequence[str]] | None) -> UndeclaredFile:
    if held is None:  # an older version recorded nothing about what the settings accept
        return replace(one, text=f"{NOT_HELD}; {one.text}", severity=COSMETIC, fix=(HOLD,))
    # An administrator chose the file, so no command removes it.
    return replace(one, text=f"{CHANGED}; {one.text}", fix=())


def hold(record: Record, accepted: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Record the accepted files as they are now. One with the same reason as before stays as it was.

    Args:
        record: the record of the resource that reports them.
        accepted: the reasons, by path.
        found: the marks of all undeclared files. A path that has none must stay so.
    """
    known = record.extra.get(HELD) or {}
    now = {path: [reason, found.get(path, ABSENT)] for path, reason in accepted.items()}
    record.extra[HELD] = {
        path: known[path] if known.get(path, [""])[0] == one[0] else one for path, one in now.items()
    }


def texts(telling: UndeclaredFiles) -> dict[str, str]:
    """Return the text of each undeclared file for people."""
    return {name: one.text for name, one in telling.items()}


def fixes(telling: UndeclaredFiles) -> dict[str, Fix]:
    """Return the severity, the action and the operands of each undeclared file."""
    return {name: (one.severity, *one.fix) for name, one in telling.items()}


def marks(found: UndeclaredFiles) -> dict[str, str]:
    """Return the marks of undeclared files, which a record's original keeps under `KEPT`."""
    return {name: one.mark for name, one in found.items()}


def steps(found: Mapping[str, str]) -> list[Step]:
    """Return a step for each undeclared file. The step only reports the file."""
    return [Step(f'undeclared["{name}"]', text, ABSENT, WARN) for name, text in found.items()]


def plain(word: str) -> str:
    """Return a word or a path, in quotes if it has unusual characters."""
    return word if word and set(word) <= _PLAIN else quoted(word)


def is_declared(store: Store, path: Path) -> bool:
    """Return whether a resource of any stack declares this file or folder."""
    name = str(path)
    if not name.isprintable():  # no resource can have such a path
        return False
    return any((store.folder(kind, name) / "record.json").exists() for kind in ("file", "directory"))


def by_hand(machine: Machine, store: Store, changed: Collection[Path]) -> list[str]:
    """Return the files in `changed` that somebody else wrote: undeclared, and not as a package ships them.

    Raises:
        AgentError: ``unreadable``.
    """
    undeclared = [path for path in changed if not is_declared(store, path)]
    return [str(path) for path in undeclared if digest(path) not in packaged.shipped_sums(machine, path)]


def named(error: AgentError, names: Collection[str]) -> AgentError:
    """Return the error with a longer message, which begins with the files that somebody changed by hand."""
    if not names:
        return error
    many = f" and {len(names) - _FIRST} more" if len(names) > _FIRST else ""
    what = ", ".join(_printable(name) for name in list(names)[:_FIRST]) + many
    return AgentError(
        error.code,
        f"{what} {'was' if len(names) == 1 else 'were'} changed by hand, and {error.message}",
        prop=error.prop,
        hint=error.hint or "correct the files on the host, then run again",
        detail=error.detail,
    )


def refused(error: AgentError, found: Mapping[str, str]) -> AgentError:
    """If a program refuses its configuration, put undeclared files first in the error's message."""
    names = [name for name, text in found.items() if text != WITHOUT_EFFECT]
    return named(error, names if error.code == "test-failed" else ())


def digest(path: Path) -> str:
    """Return the md5 sum of a file, because dpkg records md5 sums. Raises `AgentError` (``unreadable``)."""
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
    """Yield the folder and everything below it, except temporary files of our unfinished writes.

    No link is followed.
    """
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
    shipped: Mapping[str, str],
    explained: Callable[[Path, str], bool] | None,
) -> UndeclaredFile | None:
    """Return the undeclared file at a path, or None if the path has none.

    `shipped` maps the recorded md5 sums to the names of their packages.
    """
    package = next(iter(shipped.values()), "")
    if stat.S_ISDIR(status.st_mode) and not shipped:
        return None  # its content is checked instead
    if stat.S_ISLNK(status.st_mode):
        return _link(path, package, explained)
    if not stat.S_ISREG(status.st_mode):
        kind = paths.type_name(status)
        text = f"{kind}, where {package} brings a file" if package else f"{UNKNOWN}; {kind}"
        fix = _restore(package, over_folder=stat.S_ISDIR(status.st_mode))
        return UndeclaredFile(text, text, changed=bool(package), severity=_severity(package), fix=fix)
    try:
        have = digest(path)
    except AgentError as error:
        return UndeclaredFile(f"cannot be read: {error.message}", "", changed=bool(shipped))
    if have in shipped:
        return None
    access = _access(status)
    text = f"changed by hand: not as {package} brings it" if shipped else UNKNOWN
    text += f"; {access}" if access else ""
    return UndeclaredFile(
        text,
        f"{have} {text}",
        open_to_all=bool(status.st_mode & stat.S_IROTH),
        changed=bool(shipped),
        severity=_severity(package),
        fix=_restore(package),
    )


def _link(path: Path, package: str, explained: Callable[[Path, str], bool] | None) -> UndeclaredFile | None:
    try:
        target = str(path.readlink())
    except OSError as error:
        raise disk.unreadable(error, path) from None
    if not package and explained is not None and explained(path, target):
        return None
    start = f"a link, where {package} brings a file, to " if package else LINK
    return UndeclaredFile(
        f"{start}{quoted(target)}",
        f"{start}{target}",  # earlier versions wrote this mark into records
        open_to_all=_is_open_behind(path),
        changed=bool(package),
        severity=_severity(package),
        fix=_restore(package),
    )


def _gone(package: str) -> UndeclaredFile:
    text = f"gone; {package} brings it"
    return UndeclaredFile(text, _GONE, changed=True, severity=_severity(package), fix=_restore(package))


def _severity(package: str) -> str:
    return WRONG if package else OPEN


def _restore(package: str, *, over_folder: bool = False) -> Fix:
    """Return the fix that brings back a file of a package, or removes a file of no package."""
    if not package:
        return (REMOVE,)
    if package == SOME_PACKAGE:
        return (FROM_UCF_OVER_FOLDER if over_folder else FROM_UCF,)
    return (EXTRACT_OVER_FOLDER if over_folder else EXTRACT, package)


def _is_open_behind(link: Path) -> bool:
    try:
        return bool(link.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _with_fault(fault: str, status: os.stat_result) -> UndeclaredFile:
    """Return a package's file that has another owner or mode than usual."""
    usual = paths.mode_text(_usual(status))
    if not _is_of_root(status):
        fix: Fix = (CHOWN_AND_CHMOD, usual) if _is_too_open(status) else (CHOWN,)
    else:
        fix = (CHMOD, usual)
    return UndeclaredFile(fault, fault, changed=True, fix=fix)


def _access(status: os.stat_result) -> str:
    """Return what is unusual about owner and mode, or "" for a file that only root owns and can write."""
    if stat.S_ISLNK(status.st_mode):
        return ""
    faults = []
    if not _is_of_root(status):
        faults.append(f"belongs to {paths.user_name(status.st_uid)}:{paths.group_name(status.st_gid)}")
    if _is_too_open(status):
        mode, usual = paths.mode_text(status.st_mode), paths.mode_text(_usual(status))
        faults.append(f"mode {mode}, where {usual} is usual")
    return ", ".join(faults)


def _is_of_root(status: os.stat_result) -> bool:
    return (status.st_uid, status.st_gid) == (0, 0)


def _is_too_open(status: os.stat_result) -> bool:
    # Fewer permissions than usual do no harm, because root can always read the file.
    return bool(stat.S_IMODE(status.st_mode) & ~_MOST)


def _usual(status: os.stat_result) -> int:
    return _FOLDER if stat.S_ISDIR(status.st_mode) else _FILE


def _overrides(machine: Machine) -> set[str]:
    """Return the paths whose owner and mode an administrator set with dpkg-statoverride(1)."""
    try:
        lines = (machine.dpkg / "statoverride").read_text("utf-8", "replace").splitlines()
    except OSError:
        return set()
    return {line.split(" ", 3)[3] for line in lines if line.count(" ") > 2}  # noqa: PLR2004 - four fields


def _shown(name: str, one: UndeclaredFile) -> tuple[str, UndeclaredFile]:
    path = _printable(name)
    if path != name:
        return path, replace(one, text=_printable(f"{OTHER_NAME}; {one.text}"), fix=())
    fix = one.fix if one.fix in ((), (HOLD,)) or RootFolders(Path("/")).hold(name) else (BY_HAND,)
    return path, replace(one, text=_printable(one.text), fix=fix)


def _printable(text: str) -> str:
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return clean if len(clean) <= _SHOWN else f"{clean[: _SHOWN - 1]}…"
