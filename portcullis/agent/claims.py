"""What on a host belongs to a declared thing. The inventory tells of everything else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, FrozenSet, Tuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True)
class Claims:
    """What is somebody's own.

    Attributes:
        paths: files, folders and links, absolute; of a folder, not what is in it.
        trees: folders with all that is in them, absolute.
        units: units of systemd by their full names, such as "portcullis-backup.timer".
        users: accounts.
        packages: packages of Debian, without an architecture.
        contents: files of others in which we changed lines, each with the digest of what we left there.
    """

    paths: Tuple[str, ...] = ()
    trees: Tuple[str, ...] = ()
    units: Tuple[str, ...] = ()
    users: Tuple[str, ...] = ()
    packages: Tuple[str, ...] = ()
    contents: Tuple[Tuple[str, str], ...] = ()


NOTHING = Claims()


class Claimed:
    """The claims of all records together, for asking."""

    def __init__(self, claims: Iterable[Claims] = ()) -> None:
        """Take the claims of each thing."""
        every = list(claims)
        self.paths, self.trees, self.units, self.users, self.packages = (
            _all(every, field.name) for field in fields(Claims) if field.name != "contents"
        )
        self.contents = frozenset(pair for one in every for pair in one.contents)
        self._trees = tuple(f"{tree.rstrip('/')}/" for tree in self.trees)

    def has_path(self, path: str) -> bool:
        """Return whether a path is somebody's, itself or by a tree that it is in."""
        return path in self.paths or path in self.trees or path.startswith(self._trees)


def content_of(path: Path) -> str:
    """Return the digest of a file, as `Claims.contents` has it; "" where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _all(claims: Iterable[Claims], name: str) -> FrozenSet[str]:
    return frozenset(value for one in claims for value in getattr(one, name))
