"""Tells whether a file still has the content that its Debian package shipped."""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from portcullis.agent import disk, safe_paths
from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from pathlib import Path

    from portcullis.agent.machine import Machine

_TIMEOUT = 30.0
_PACKAGE = "Package: "
_CONFFILE = re.compile(r" (\S+) ([0-9a-f]{32})(?: (obsolete|remove-on-upgrade))?")


class Conffile(NamedTuple):
    """A configuration file of a package: the name of the package, and the md5 sum of the shipped content."""

    package: str
    digest: str


def is_as_shipped(machine: Machine, path: Path) -> bool:
    """Return whether dpkg or ucf has recorded the md5 sum of the present content of `path`."""
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with disk.reading(path) as place:
            fd = place.open()
            try:
                for piece in safe_paths.pieces(fd):
                    digest.update(piece)
            finally:
                os.close(fd)
    except AgentError:
        return False
    have = digest.hexdigest()
    return have in _ucf_sums(machine, path) or have in _dpkg_sums(machine, path)


def shipped_sums(machine: Machine, path: Path) -> set[str]:
    """Return the md5 sums that ucf or a package's list of conffiles has for `path`.

    The function starts no program.
    """
    return _ucf_sums(machine, path) | {
        shipped.digest for name, shipped in conffiles(machine, path.parent).items() if name == str(path)
    }


def conffiles(machine: Machine, folder: Path) -> dict[str, Conffile]:
    """Return the conffiles below a folder, each under its path, as dpkg's status file lists them."""
    try:
        text = (machine.dpkg / "status").read_text("utf-8", "replace")
    except OSError:
        return {}
    found, at, start = {}, -1, f"\n {folder}/"
    while (at := text.find(start, at + 1)) >= 0:
        end = text.find("\n", at + 1)
        line = _CONFFILE.fullmatch(text[at + 1 : end if end >= 0 else len(text)])
        if line and not line[3]:
            found[line[1]] = Conffile(_package_at(text, at), line[2])
    return found


def _package_at(status: str, at: int) -> str:
    """Return the package whose paragraph contains the position `at` of dpkg's status file.

    The package's name is the first field of a paragraph.
    """
    blank = status.rfind("\n\n", 0, at)
    start = blank + 2 if blank >= 0 else 0
    first = status[start : status.find("\n", start)]
    return first[len(_PACKAGE) :] if first.startswith(_PACKAGE) else ""


def _dpkg_sums(machine: Machine, path: Path) -> set[str]:
    found = machine.run(["dpkg-query", f"--admindir={machine.dpkg}", "-S", "--", str(path)], timeout=_TIMEOUT)
    sums: set[str] = set()
    for package in owners(found.out, str(path)):
        shown = machine.run(
            ["dpkg-query", f"--admindir={machine.dpkg}", "-W", "-f", "${Conffiles}\n", "--", package],
            timeout=_TIMEOUT,
        )
        sums |= conffile_sums(shown.out, str(path))
        for name in (package, package.split(":")[0]):
            try:
                sums |= listed_sums(
                    (machine.dpkg / "info" / f"{name}.md5sums").read_text("utf-8", "replace"), str(path)
                )
            except OSError:
                continue
    return sums


def _ucf_sums(machine: Machine, path: Path) -> set[str]:
    """Return the md5 sums of a file that a package's script installs by ucf(1), such as sshd_config."""
    try:
        return listed_sums(machine.ucf.read_text("utf-8", "replace"), str(path), prefix="")
    except OSError:
        return set()


def owners(output: str, path: str) -> list[str]:
    """Return the packages in the output of ``dpkg-query -S`` (``a, b:amd64: /path``).

    Lines about diversions are left out.
    """
    packages: list[str] = []
    for line in output.splitlines():
        names, _, found = line.rpartition(": ")
        if found == path and not line.startswith("diversion by "):
            packages += names.split(", ")
    return packages


def conffile_sums(output: str, path: str) -> set[str]:
    """Return the md5 sum that a ``${Conffiles}`` field has for `path`. Obsolete lines are ignored."""
    sums = set()
    for line in output.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == path:  # noqa: PLR2004 - an obsolete line has three
            sums.add(words[1])
    return sums


def listed_sums(text: str, path: str, prefix: str = "/") -> set[str]:
    """Return the md5 sum of `path` from a text in the output format of md5sum(1)."""
    sums = set()
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        if prefix + name == path:
            sums.add(digest)
    return sums
