"""Reads dpkg's records: owners of paths, checksums of configuration files, overrides and diversions.

This module reads dpkg's own files (dpkg-query(1), "FILES"), because dpkg's programs would take longer than
all other work of the inventory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import posixpath
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portcullis.components.inventory.on_host import alternatives

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from portcullis.components.inventory.on_host.alternatives import Alternative

BY_HAND = ":"
"""This text stands in place of a package's name if a person diverted a path: dpkg-divert(1), ``--local``."""
_MERGED = ("/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/")
# The folders that the readers need. dpkg's lists have ten times as many paths.
_ASKED = (
    "/etc", "/root", "/opt", "/var/spool", "/usr/local", "/usr/bin", "/usr/sbin", "/bin", "/sbin",
    "/usr/lib/systemd", "/lib/systemd", "/usr/lib/udev", "/lib/udev", "/usr/lib/modprobe.d",
    "/lib/modprobe.d", "/usr/lib/sysctl.d",
    "/usr/lib/modules-load.d", "/usr/lib/tmpfiles.d", "/usr/lib/sysusers.d",
    "/usr/lib/environment.d", "/usr/lib/apt", "/usr/share/ca-certificates", "/usr/share/base-files",
    "/usr/share/libc-bin", "/usr/share/readline", "/usr/share/ufw", "/usr/share/pam",
    "/usr/share/pam-configs",
)  # fmt: skip
_DOCUMENTS = "/usr/share/man/"  # no program runs these files
_FIELD = re.compile(r"^([A-Za-z-]+): *(.*)$", re.MULTILINE)
_CONFFILE = re.compile(r"^ (/.*) ([0-9a-f]{32}|newconffile)((?: [a-z-]+)*)$", re.MULTILINE)
_WAIT = 0.5  # seconds between two checks of a lock


@dataclass(frozen=True)
class Package:
    """A package that is installed, or whose configuration is left.

    Attributes:
        installed: whether the package is installed. False means that only the package's configuration is
            left.
        held: whether an administrator holds the package at its version.
    """

    name: str
    arch: str
    version: str
    installed: bool
    held: bool


@dataclass
class Dpkg:
    """The records of dpkg. Paths are absolute, and paths in /bin, /sbin and /lib begin with /usr.

    Attributes:
        packages: the packages by name.
        owners: the package that ships each path, in the folders that the inventory reads.
        conffiles: the MD5 sum of each configuration file as its package shipped it, or "" if dpkg has none.
        obsolete: configuration files that a package shipped in an earlier version.
        overrides: owner and mode that dpkg-statoverride(1) set, such as root:adm 0640.
        diversions: diverted paths, each with its new path and the package that diverted it, or `BY_HAND`.
        alternatives: the alternatives by name.
    """

    packages: dict[str, Package] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    conffiles: dict[str, str] = field(default_factory=dict)
    obsolete: dict[str, str] = field(default_factory=dict)
    overrides: dict[str, str] = field(default_factory=dict)
    diversions: dict[str, tuple[str, str]] = field(default_factory=dict)
    alternatives: dict[str, Alternative] = field(default_factory=dict)

    def has(self, path: str) -> bool:
        """Return whether a package ships the target of an alternative."""
        is_document = path.startswith(_DOCUMENTS) and posixpath.normpath(path) == path
        return is_document or merged(path) in self.owners

    def place(self, path: str, package: str) -> str:
        """Return the real path of a package's file, which another package or a person may have diverted."""
        path = merged(path)
        moved = self.diversions.get(path)
        return moved[0] if moved and moved[1] != package else path


def read(machine: Machine) -> Dpkg:
    """Read dpkg's records. Raises OSError if its database cannot be read."""
    folder = machine.dpkg
    known = Dpkg(alternatives=alternatives.read(folder / "alternatives"))
    _diversions(known, _text(folder / "diversions"))
    _status(known, _text(folder / "status", needed=True))
    _overrides(known, _text(folder / "statoverride"))
    choices = (one for each in set(known.alternatives.values()) for _, one in each.choices)
    listed = _listed({target for targets in choices for target in targets.values()})
    for path in _lists(folder / "info"):
        package = path.name[: -len(".list")].partition(":")[0]
        for shipped in listed.findall(_text(path)):
            known.owners[known.place(shipped, package)] = package
    return known


def scripts(machine: Machine) -> list[str]:
    """Return the texts of all postinst scripts of packages. Raises OSError if a script cannot be read."""
    folder = machine.dpkg / "info"
    return [_text(path) for path in sorted(folder.glob("*.postinst"))]


def _listed(targets: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for the paths that the readers need from dpkg's lists.

    These are the paths below some folders, and the targets of alternatives.
    """
    others: dict[str, set[str]] = {}
    for target in targets:
        if not target.startswith((_DOCUMENTS, *(f"{asked}/" for asked in _ASKED))):
            # A list of dpkg may have the path from before /lib became a link.
            older = target[len("/usr") :]
            for path in (target, merged(target), older if merged(older) == target else target):
                folder, _, name = path.rpartition("/")
                others.setdefault(re.escape(folder), set()).add(re.escape(name))
    patterns = [f"(?:{'|'.join(map(re.escape, _ASKED))})(?:/.*)?"]
    patterns += [f"{folder}/(?:{'|'.join(sorted(names))})" for folder, names in sorted(others.items())]
    return re.compile(f"^(?:{'|'.join(patterns)})$", re.MULTILINE)


def merged(path: str) -> str:
    """Return a path with /usr before /bin, /sbin and /lib, which are links into /usr."""
    return f"/usr{path}" if path.startswith(_MERGED) else path


def state(machine: Machine) -> tuple[int, ...]:
    """Return numbers that change whenever dpkg's database changes."""
    with contextlib.suppress(OSError):
        status = (machine.dpkg / "status").stat()
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
    return ()


def wait_until_idle(machine: Machine) -> None:
    """Wait, for a limited time, until apt and dpkg are done.

    While apt or dpkg works, the records of dpkg are inconsistent.
    """
    for _ in range(int(machine.apt_lock_wait / _WAIT)):
        if not any(_is_locked(machine.dpkg / name) for name in ("lock-frontend", "lock")):
            return
        if machine.alone.wait(_WAIT):
            return


def _is_locked(path: Path) -> bool:
    """Return whether another process has dpkg's lock. This function does not take the lock."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        # struct flock, fcntl(2): type, whence, start, length, process.
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        (kind,) = struct.unpack_from("h", fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    except OSError:
        return False
    finally:
        os.close(fd)
    return bool(kind != fcntl.F_UNLCK)


def _status(known: Dpkg, text: str) -> None:
    for stanza in _stanzas(text):
        fields = dict(_FIELD.findall(stanza.partition("\nConffiles:")[0]))
        name = fields.get("Package")
        if not name:
            continue
        want, _, present = (fields.get("Status", "") + "  ").split(" ")[:3]
        installed = present in ("installed", "triggers-awaited", "triggers-pending")
        known.packages[name] = Package(
            name, fields.get("Architecture", ""), fields.get("Version", ""), installed, want == "hold"
        )
        if "\nConffiles:" not in stanza:
            continue
        for path, digest, flags in _CONFFILE.findall(stanza.partition("\nConffiles:")[2]):
            place = known.place(path, name)
            if flags or not installed:
                known.obsolete[place] = name
            else:
                known.conffiles[place] = "" if digest == "newconffile" else digest


def _stanzas(text: str) -> Iterator[str]:
    """Yield each package's part of dpkg's status file.

    A generator avoids a second copy of the large text.
    """
    begin = 0
    while begin < len(text):
        end = text.find("\n\n", begin)
        yield text[begin : end if end >= 0 else None]
        begin = end + 2 if end >= 0 else len(text)


def _overrides(known: Dpkg, text: str) -> None:
    for line in text.splitlines():
        words = line.split(" ", 3)
        if len(words) == 4:  # noqa: PLR2004 - the four words are user, group, mode and path
            with contextlib.suppress(ValueError):
                known.overrides[merged(words[3])] = f"{words[0]}:{words[1]} {int(words[2], 8):04o}"


def _diversions(known: Dpkg, text: str) -> None:
    """Parse dpkg's diversions: three lines each, the path, its new path, and the package that diverted it."""
    lines = text.splitlines()
    for path, moved, package in zip(lines[::3], lines[1::3], lines[2::3], strict=False):
        known.diversions[merged(path)] = (merged(moved), package)


def _lists(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        yield from (path for path in folder.iterdir() if path.name.endswith(".list"))


def _text(path: Path, *, needed: bool = False) -> str:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        if needed:
            raise
        return ""
