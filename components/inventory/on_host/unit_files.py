"""What the files of systemd say: which units there are, and who enabled, masked or changed them.

Where they are: systemd.unit(5), "Unit File Load Path". What a package enabled: deb-systemd-helper(1p).
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Dict, FrozenSet, List, Set, Tuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

SYSTEM, USER = "system", "user"
MANAGERS = (SYSTEM, USER)
"""systemd itself, and the one that each user has."""

TYPES = (
    ".service", ".timer", ".socket", ".path", ".target", ".mount", ".automount", ".swap", ".slice", ".device",
    ".scope",
)  # fmt: skip
_LINKS = (".wants", ".requires", ".upholds")
_DROP_IN = ".d"
# An administrator's own, strongest first. Packages have /usr/lib, and generators /run/systemd/generator*.
_THEIRS = ("etc/systemd/{0}.control", "run/systemd/{0}.control", "etc/systemd/{0}", "run/systemd/{0}",
           "usr/local/lib/systemd/{0}", "usr/local/share/systemd/{0}")  # fmt: skip
_PACKAGES = ("usr/lib/systemd/{0}", "usr/share/systemd/{0}")
_GENERATED = ("run/systemd/generator.early", "run/systemd/generator", "run/systemd/generator.late")
TRANSIENT = "run/systemd/transient"
# Of transient units: scopes and slices come with each login and each container.
_TOLD_TRANSIENT = (".service", ".timer", ".socket", ".path")
_EXECUTED = ("system-generators", "user-generators", "system-environment-generators",
             "user-environment-generators", "system-shutdown", "system-sleep")  # fmt: skip
_PRESETS = ("system-preset", "user-preset")
_PARENTS = ("etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd")
_MARKERS = {
    SYSTEM: "var/lib/systemd/deb-systemd-helper-enabled",
    USER: "var/lib/systemd/deb-systemd-user-helper-enabled",
}
_MASK_MARKERS = {
    SYSTEM: "var/lib/systemd/deb-systemd-helper-masked",
    USER: "var/lib/systemd/deb-systemd-user-helper-masked",
}
_LIMIT = 1 << 18  # bytes of a unit file
_MOST = 4000  # entries of a folder
_SETTING = re.compile(r"^\s*([A-Za-z]+)\s*=\s*(.*?)\s*$")


@dataclass(frozen=True)
class File:
    """A file of systemd's: a unit, a drop-in, or a link that enables or masks one.

    Attributes:
        path: absolute, as on the host.
        unit: the unit that it is about.
        target: where a link points, "" for a file.
        changed: time of its last change, in seconds since 1970.
        is_empty: it is a file of no bytes, which masks as a link to /dev/null does.
        uid: whose it is.
        mode: its permission bits.
    """

    path: str
    unit: str
    target: str
    changed: float
    is_empty: bool = False
    uid: int = 0
    mode: int = 0o644

    @property
    def rights(self) -> str:
        """What is wrong with its owner or mode, "" where only root can write it."""
        if self.target or (self.uid == 0 and not self.mode & 0o022):
            return ""
        return f" (mode {self.mode:04o}, uid {self.uid})"

    @property
    def masks(self) -> bool:
        """Whether it keeps its unit from ever starting."""
        return self.target == "/dev/null" or self.is_empty


@dataclass
class UnitFiles:
    """The files of one manager.

    Attributes:
        units: an administrator's unit files, aliases and masks.
        links: links in ``.wants`` and its like, with the unit that wants.
        drop_ins: an administrator's drop-ins.
        transient: units that were made by a command: systemd-run(1).
        strangers: files in the folders of packages that no package ships.
    """

    units: List[File] = field(default_factory=list)
    links: List[Tuple[File, str]] = field(default_factory=list)
    drop_ins: List[File] = field(default_factory=list)
    transient: List[File] = field(default_factory=list)
    strangers: List[File] = field(default_factory=list)


def covers(path: str) -> bool:
    """Return whether a path on the host is told as a unit: one, its drop-in, a link to it, a generator.

    Other files in those folders mean nothing to systemd.
    """
    inner = path.lstrip("/")
    if inner.startswith("lib/systemd/"):
        inner = f"usr/{inner}"
    parent = next((parent for parent in _PARENTS if inner.startswith(f"{parent}/")), None)
    if parent is None:
        return False
    top, *rest = inner[len(parent) + 1 :].split("/")
    if top in (*_EXECUTED, *_PRESETS, "transient") or top.startswith("generator"):
        return True
    if top.partition(".")[0] not in MANAGERS or top.partition(".")[2] not in ("", "control"):
        return False
    if len(rest) > 1:
        return rest[0].endswith(_LINKS) or (rest[0].endswith(_DROP_IN) and rest[1].endswith(".conf"))
    return not rest or rest[0].endswith((*TYPES, *_LINKS, _DROP_IN))


def read(root: Path, manager: str, shipped: Container[str]) -> UnitFiles:
    """Read the folders of a manager.

    Args:
        root: the folder that all paths are below.
        manager: `SYSTEM` or `USER`.
        shipped: paths of packages, with /usr before /lib.
    """
    found = UnitFiles()
    for pattern in _THEIRS:
        for file, wanted_by in _folder(root, pattern.format(manager)):
            _sort(found, file, wanted_by)
    for pattern in _PACKAGES:
        found.strangers += [file for file, _ in _folder(root, pattern.format(manager), shipped)]
    if manager == SYSTEM:
        found.transient = [
            file for file, _ in _folder(root, TRANSIENT) if file.unit.endswith(_TOLD_TRANSIENT)
        ]
    return found


def _sort(found: UnitFiles, file: File, wanted_by: str) -> None:
    if wanted_by.endswith(_DROP_IN):
        found.drop_ins.append(file)
    elif wanted_by:
        found.links.append((file, wanted_by))
    else:
        found.units.append(file)


def _folder(root: Path, inner: str, known: Container[str] = ()) -> Iterator[Tuple[File, str]]:
    """Yield the files in a folder of units and in those below it, with the name of the folder below.

    What is `known` is not looked at: packages have hundreds.
    """
    for entry in _entries(root / inner):
        name = entry.name
        is_drop_in = name.endswith(_DROP_IN)
        if entry.is_dir(follow_symlinks=False):
            for one in _entries(root / inner / name) if is_drop_in or name.endswith(_LINKS) else ():
                path = f"/{inner}/{name}/{one.name}"
                if path not in known and (one.name.endswith(".conf") or not is_drop_in):
                    yield _file(one, path, name[: -len(_DROP_IN)] if is_drop_in else one.name), name
        elif name.endswith(TYPES) and f"/{inner}/{name}" not in known:
            yield _file(entry, f"/{inner}/{name}", name), ""


def _entries(folder: Path) -> List[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)[:_MOST]
    except OSError:
        return []


def _file(entry: os.DirEntry[str], path: str, unit: str) -> File:
    try:
        status = entry.stat(follow_symlinks=False)
        target = os.readlink(entry.path) if stat.S_ISLNK(status.st_mode) else ""  # noqa: PTH115 - text is wanted
    except OSError:
        return File(path, unit, "", 0.0)  # it went meanwhile
    is_empty = stat.S_ISREG(status.st_mode) and not status.st_size
    return File(path, unit, target, status.st_ctime, is_empty, status.st_uid, stat.S_IMODE(status.st_mode))


def executed(root: Path, shipped: Container[str]) -> Iterator[Tuple[str, File]]:
    """Yield generators, presets and the like that no package ships, each with what it is."""
    for parent in _PARENTS:
        for folder in (*_EXECUTED, *_PRESETS):
            for entry in _entries(root / parent / folder):
                path = f"/{parent}/{folder}/{entry.name}"
                if path not in shipped:
                    what = "preset" if folder in _PRESETS else "generator"
                    if folder in ("system-shutdown", "system-sleep"):
                        what = f"runs at {folder.partition('-')[2]}"
                    yield what, _file(entry, path, entry.name)


def wanted(root: Path, manager: str) -> Set[str]:
    """Return the units that packages and generators link."""
    found: Set[str] = set()
    for inner in (*(pattern.format(manager) for pattern in _PACKAGES), *_GENERATED):
        for entry in _entries(root / inner):
            if entry.name.endswith(_LINKS) and entry.is_dir(follow_symlinks=False):
                found |= {one.name for one in _entries(root / inner / entry.name)}
    return found


# What enables units by right ------------------------------------------------------------------------------


def markers(root: Path, manager: str, *, masked: bool = False) -> FrozenSet[str]:
    """Return the links that packages made: ``multi-user.target.wants/cron.service``, ``sshd.service``."""
    top = root / (_MASK_MARKERS if masked else _MARKERS)[manager]
    found: Set[str] = set()
    for entry in _entries(top):
        if entry.is_dir(follow_symlinks=False):
            found |= {f"{entry.name}/{one.name}" for one in _entries(top / entry.name)}
        else:
            # Not what is in `NAME.dsh-also`: that lists what `enable` would link, enabled or not.
            found.add(entry.name)
    return frozenset(found)


def presets(root: Path, manager: str) -> List[Tuple[bool, str]]:
    """Return the rules of packages' presets in their order: systemd.preset(5). The first that fits counts."""
    rules: List[Tuple[bool, str]] = []
    for entry in _entries(root / "usr/lib/systemd" / f"{manager}-preset"):
        for line in text_of(root / "usr/lib/systemd" / f"{manager}-preset" / entry.name).splitlines():
            words = line.split()
            if len(words) > 1 and words[0] in ("enable", "disable"):
                rules.append((words[0] == "enable", words[1]))
    return rules


def is_preset(rules: Sequence[Tuple[bool, str]], unit: str) -> bool:
    """Return whether presets enable a unit. Debian leaves what no rule names to its packages."""
    return next((enable for enable, pattern in rules if fnmatch.fnmatchcase(unit, pattern)), False)


def template(unit: str) -> str:
    """Return the template of an instance: ``getty@.service`` of ``getty@tty1.service``."""
    name, at, rest = unit.partition("@")
    return f"{name}@{rest[rest.rfind('.') :]}" if at else unit


def instance(unit: str) -> str:
    """Return what stands between @ and the type."""
    return unit.partition("@")[2].rpartition(".")[0]


class Definitions:
    """Unit files by name, read when they are asked for."""

    def __init__(self, root: Path, manager: str) -> None:
        """Take the folder that all is below, and whose units they are."""
        self._root, self._manager = root, manager
        self._known: Dict[str, Dict[str, List[str]]] = {}

    def settings(self, unit: str) -> Mapping[str, List[str]]:
        """Return what the sections of a unit's file set, lists of names taken apart; nothing without one."""
        if unit not in self._known:
            self._known[unit] = self._read(unit)
        return self._known[unit]

    def is_there(self, unit: str) -> bool:
        """Return whether there is a file of a unit, or of its template."""
        return bool(self.settings(unit))

    def is_shipped(self, unit: str) -> bool:
        """Return whether the folders of packages have a file of a unit, or of its template."""
        return any(
            os.path.lexists(self._root / pattern.format(self._manager) / name)
            for pattern in _PACKAGES
            for name in {unit, template(unit)}
        )

    def _read(self, unit: str) -> Dict[str, List[str]]:
        folders = [*(pattern.format(self._manager) for pattern in (*_THEIRS, *_PACKAGES)), *_GENERATED]
        for name in dict.fromkeys((unit, template(unit))):
            for folder in folders:
                path = self._root / folder / name
                text = text_of(path) if not path.is_symlink() else self._linked(path)
                if text:
                    return settings(text)
        return {}

    def _linked(self, path: Path) -> str:
        """Return the text behind an alias, which may be absolute and so be below our root."""
        target = os.readlink(path)  # noqa: PTH115 - text is wanted
        return text_of(self._root / target.lstrip("/") if target.startswith("/") else path.parent / target)

    def links(self, unit: str) -> FrozenSet[str]:
        """Return the links that enabling a unit makes: systemd.unit(5), "[Install] Section Options"."""
        found = self.settings(unit)
        made = {f"{by}{kind}/{unit}" for word, kind in _INSTALL for by in found.get(word, ())}
        return frozenset(made | set(found.get("Alias", ())))

    def with_also(self, units: Iterable[str]) -> FrozenSet[str]:
        """Return these units and all that enabling them enables too."""
        waiting, found = list(units), set()
        while waiting:
            unit = waiting.pop()
            if unit not in found:
                found.add(unit)
                waiting += self.settings(unit).get("Also", ())
        return frozenset(found)

    def named_anywhere(self, wanted: Set[str], targets: Set[str]) -> FrozenSet[str]:
        """Return those of `wanted` that some unit file of a package names, so that it may start them.

        A target stays up with what it started, so that only one of `targets`, which are up, counts.
        """
        found: Set[str] = set()
        for folder in (pattern.format(self._manager) for pattern in _PACKAGES):
            for entry in _entries(self._root / folder):
                if entry.name.endswith(".target") and entry.name not in targets:
                    continue
                if not entry.is_dir(follow_symlinks=False) and entry.name not in wanted:
                    found |= wanted & _started(text_of(self._root / folder / entry.name))
                elif entry.name.endswith(_LINKS):
                    by = entry.name.rpartition(".")[0]
                    if not by.endswith(".target") or by in targets:
                        found |= wanted & {one.name for one in _entries(self._root / folder / entry.name)}
        buses = self._root / f"usr/share/dbus-1/{self._manager}-services"
        for entry in _entries(buses):
            found |= wanted & _started(text_of(buses / entry.name))
        return frozenset(found)


def _started(text: str) -> Set[str]:
    """Return the units that a file starts: not those that it only comes after."""
    return {name for line in _STARTS.findall(text) for name in line.split()}


_STARTS = re.compile(
    r"^(?:Wants|Requires|BindsTo|Upholds|OnFailure|OnSuccess|Unit|Service|Sockets|SystemdService)\s*=(.*)$",
    re.MULTILINE,
)
_INSTALL = (("WantedBy", ".wants"), ("RequiredBy", ".requires"), ("UpheldBy", ".upholds"))
_LISTS = ("WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also")


def settings(text: str) -> Dict[str, List[str]]:
    """Return the settings of a unit file by name, over all sections. An empty value resets one."""
    found: Dict[str, List[str]] = {"": []}  # never empty: a file without settings is a file
    for line in re.sub(r"\\\n", " ", text).splitlines():
        match = _SETTING.match(line)
        if match and line[:1] not in ("#", ";"):
            name, value = match[1], match[2]
            if not value:
                found.pop(name, None)
            else:
                found.setdefault(name, []).extend(value.split() if name in _LISTS else [value])
    return found


def text_of(path: Path, limit: int = _LIMIT) -> str:
    """Return a file's text, bounded; "" for what is no readable file, and for an empty one."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        return os.pread(fd, limit, 0).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
