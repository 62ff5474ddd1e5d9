"""Reads systemd's files: existing units, and units that somebody enabled, masked or changed.

The folders are those of systemd.unit(5), "Unit File Load Path". deb-systemd-helper(1p) records what a package
enabled.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portcullis.agent import safe_paths

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

SYSTEM, USER = "system", "user"
MANAGERS = (SYSTEM, USER)
"""The managers of units: systemd itself, and the systemd instances of users."""

TYPES = (
    ".service", ".timer", ".socket", ".path", ".target", ".mount", ".automount", ".swap", ".slice", ".device",
    ".scope",
)  # fmt: skip
_LINKS = (".wants", ".requires", ".upholds")
_DROP_IN = ".d"
# The administrator's folders, by priority. Packages use /usr/lib, and generators use /run/systemd/generator*.
_THEIRS = ("etc/systemd/{0}.control", "run/systemd/{0}.control", "etc/systemd/{0}", "run/systemd/{0}",
           "usr/local/lib/systemd/{0}", "usr/local/share/systemd/{0}")  # fmt: skip
_PACKAGES = ("usr/lib/systemd/{0}", "usr/share/systemd/{0}")
_GENERATED = ("run/systemd/generator.early", "run/systemd/generator", "run/systemd/generator.late")
TRANSIENT = "run/systemd/transient"
# The types of transient units that get an entry. Scopes and slices come with each login and each container.
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
_LIMIT = 1 << 18  # the most bytes that are read of a unit file
_MOST = 4000  # the most entries that are read of a folder
_SETTING = re.compile(r"^\s*([A-Za-z]+)\s*=\s*(.*?)\s*$")


@dataclass(frozen=True)
class File:
    """A file in systemd's folders: a unit, a drop-in, or a link that enables or masks a unit.

    Attributes:
        path: the absolute path on the host.
        unit: the name of the unit.
        target: the target of a link, or "" for a file.
        changed: the time of the last change, in seconds since 1970.
        is_empty: whether the file is empty. An empty file masks its unit, like a link to /dev/null.
        uid: the owner of the file.
        mode: the permission bits of the file.
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
        """The fault of the owner or the mode, or "" if only root can write the file."""
        if self.target or (self.uid == 0 and not self.mode & 0o022):
            return ""
        return f" (mode {self.mode:04o}, uid {self.uid})"

    @property
    def masks(self) -> bool:
        """Whether the file masks its unit, so that the unit can never start."""
        return self.target == "/dev/null" or self.is_empty


@dataclass
class UnitFiles:
    """The files of one systemd manager.

    Attributes:
        units: the administrator's unit files, aliases and masks.
        links: links in ``.wants``, ``.requires`` and ``.upholds`` folders, each with the name of the folder.
        drop_ins: the administrator's drop-ins.
        transient: units that a command such as systemd-run(1) made.
        undeclared: undeclared files in the folders of packages, which no package ships.
    """

    units: list[File] = field(default_factory=list)
    links: list[tuple[File, str]] = field(default_factory=list)
    drop_ins: list[File] = field(default_factory=list)
    transient: list[File] = field(default_factory=list)
    undeclared: list[File] = field(default_factory=list)


def covers(path: str) -> bool:
    """Return whether the reader of units reports the file at a path, so that no other reader reports it.

    The reader of units reports units, drop-ins, links to units, and generators. systemd ignores all other
    files in its folders.
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
    """Read the folders of a systemd manager.

    Args:
        root: the folder below which all paths are.
        manager: `SYSTEM` or `USER`.
        shipped: the paths that packages ship, with /usr before /lib.
    """
    found = UnitFiles()
    for pattern in _THEIRS:
        for file, wanted_by in _folder(root, pattern.format(manager)):
            _sort(found, file, wanted_by)
    for pattern in _PACKAGES:
        found.undeclared += [file for file, _ in _folder(root, pattern.format(manager), shipped)]
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


def _folder(root: Path, inner: str, known: Container[str] = ()) -> Iterator[tuple[File, str]]:
    """Yield the files in a folder of units and in folders below it, each with the name of the lower folder.

    Paths in `known` are skipped, because packages have hundreds of them.
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


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)[:_MOST]
    except OSError:
        return []


def _file(entry: os.DirEntry[str], path: str, unit: str) -> File:
    try:
        status = entry.stat(follow_symlinks=False)
        target = os.readlink(entry.path) if stat.S_ISLNK(status.st_mode) else ""  # noqa: PTH115 - a string is needed
    except OSError:
        return File(path, unit, "", 0.0)  # the link has been removed meanwhile
    is_empty = stat.S_ISREG(status.st_mode) and not status.st_size
    return File(path, unit, target, status.st_ctime, is_empty, status.st_uid, stat.S_IMODE(status.st_mode))


def executed(root: Path, shipped: Container[str]) -> Iterator[tuple[str, File]]:
    """Yield generators, presets and shutdown programs that no package ships, each with its kind."""
    for parent in _PARENTS:
        for folder in (*_EXECUTED, *_PRESETS):
            for entry in _entries(root / parent / folder):
                path = f"/{parent}/{folder}/{entry.name}"
                if path not in shipped:
                    what = "preset" if folder in _PRESETS else "generator"
                    if folder in ("system-shutdown", "system-sleep"):
                        what = f"runs at {folder.partition('-')[2]}"
                    yield what, _file(entry, path, entry.name)


def wanted(root: Path, manager: str) -> set[str]:
    """Return the units that links of packages and generators enable."""
    found: set[str] = set()
    for inner in (*(pattern.format(manager) for pattern in _PACKAGES), *_GENERATED):
        for entry in _entries(root / inner):
            if entry.name.endswith(_LINKS) and entry.is_dir(follow_symlinks=False):
                found |= {one.name for one in _entries(root / inner / entry.name)}
    return found


# What may enable units ----------------------------------------------------------------------------------


def markers(root: Path, manager: str, *, masked: bool = False) -> frozenset[str]:
    """Return the links that packages made: ``multi-user.target.wants/cron.service``, ``sshd.service``."""
    top = root / (_MASK_MARKERS if masked else _MARKERS)[manager]
    found: set[str] = set()
    for entry in _entries(top):
        if entry.is_dir(follow_symlinks=False):
            found |= {f"{entry.name}/{one.name}" for one in _entries(top / entry.name)}
        else:
            # Ignore the content of `NAME.dsh-also`, because it lists the links of `enable` even for a
            # disabled unit.
            found.add(entry.name)
    return frozenset(found)


def presets(root: Path, manager: str) -> list[tuple[bool, str]]:
    """Return the rules of packages' presets in order: systemd.preset(5).

    The first preset that matches a unit counts.
    """
    rules: list[tuple[bool, str]] = []
    for entry in _entries(root / "usr/lib/systemd" / f"{manager}-preset"):
        for line in text_of(root / "usr/lib/systemd" / f"{manager}-preset" / entry.name).splitlines():
            words = line.split()
            if len(words) > 1 and words[0] in ("enable", "disable"):
                rules.append((words[0] == "enable", words[1]))
    return rules


def is_preset(rules: Sequence[tuple[bool, str]], unit: str) -> bool:
    """Return whether presets enable a unit. On Debian, presets without a rule for a unit do not enable it."""
    return next((enable for enable, pattern in rules if fnmatch.fnmatchcase(unit, pattern)), False)


def template(unit: str) -> str:
    """Return the template of an instance: ``getty@.service`` of ``getty@tty1.service``."""
    name, at, rest = unit.partition("@")
    return f"{name}@{rest[rest.rfind('.') :]}" if at else unit


def instance(unit: str) -> str:
    """Return the instance of a unit's name: the part between @ and the type."""
    return unit.partition("@")[2].rpartition(".")[0]


class Definitions:
    """Reads unit files by name. Each unit file is read only once."""

    def __init__(self, root: Path, manager: str) -> None:
        """Store `root`, the folder below which all paths are, and the manager of the units."""
        self._root, self._manager = root, manager
        self._known: dict[str, dict[str, list[str]]] = {}

    def settings(self, unit: str) -> Mapping[str, list[str]]:
        """Return the settings of a unit's file, with lists of names split.

        A unit without a file has no settings.
        """
        if unit not in self._known:
            self._known[unit] = self._read(unit)
        return self._known[unit]

    def is_there(self, unit: str) -> bool:
        """Return whether a unit or its template has a file."""
        return bool(self.settings(unit))

    def is_shipped(self, unit: str) -> bool:
        """Return whether a unit or its template has a file in the folders of packages."""
        return any(
            os.path.lexists(self._root / pattern.format(self._manager) / name)
            for pattern in _PACKAGES
            for name in {unit, template(unit)}
        )

    def _read(self, unit: str) -> dict[str, list[str]]:
        folders = [*(pattern.format(self._manager) for pattern in (*_THEIRS, *_PACKAGES)), *_GENERATED]
        for name in dict.fromkeys((unit, template(unit))):
            for folder in folders:
                path = self._root / folder / name
                text = text_of(path) if not path.is_symlink() else self._linked(path)
                if text:
                    return settings(text)
        return {}

    def _linked(self, path: Path) -> str:
        """Return the text of the unit file to which an alias leads.

        An absolute target of a link is a path below `root`.
        """
        target = os.readlink(path)  # noqa: PTH115 - a string is needed
        return text_of(self._root / target.lstrip("/") if target.startswith("/") else path.parent / target)

    def links(self, unit: str) -> frozenset[str]:
        """Return the links that `systemctl enable` makes for a unit.

        See systemd.unit(5), "[Install] Section Options".
        """
        found = self.settings(unit)
        made = {f"{by}{kind}/{unit}" for word, kind in _INSTALL for by in found.get(word, ())}
        return frozenset(made | set(found.get("Alias", ())))

    def with_also(self, units: Iterable[str]) -> frozenset[str]:
        """Return these units, and all units that are enabled together with them."""
        waiting, found = list(units), set()
        while waiting:
            unit = waiting.pop()
            if unit not in found:
                found.add(unit)
                waiting += self.settings(unit).get("Also", ())
        return frozenset(found)

    def named_anywhere(self, wanted: set[str], targets: set[str]) -> frozenset[str]:
        """Return the units of `wanted` that a packaged unit file may have started, because it names them.

        `targets` has the active targets. Files of other targets are skipped, because a target that started a
        unit is still active.
        """
        found: set[str] = set()
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


def _started(text: str) -> set[str]:
    """Return the units that a unit file starts. Names in After= and Before= do not start a unit."""
    return {name for line in _STARTS.findall(text) for name in line.split()}


_STARTS = re.compile(
    r"^(?:Wants|Requires|BindsTo|Upholds|OnFailure|OnSuccess|Unit|Service|Sockets|SystemdService)\s*=(.*)$",
    re.MULTILINE,
)
_INSTALL = (("WantedBy", ".wants"), ("RequiredBy", ".requires"), ("UpheldBy", ".upholds"))
_LISTS = ("WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also")


def settings(text: str) -> dict[str, list[str]]:
    """Return the settings of a unit file by name, from all sections.

    An empty value resets the setting of a unit.
    """
    found: dict[str, list[str]] = {
        "": []
    }  # the result is never empty, because a unit file may have no settings
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
    """Return a file's text up to `limit` bytes; "" if the file is unreadable or no plain file."""
    try:
        fd = safe_paths.open_behind_links(path)
    except OSError:
        return ""
    if fd is None:
        return ""
    try:
        return os.pread(fd, limit, 0).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
