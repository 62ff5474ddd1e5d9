"""Claims: the paths, units, users, packages and links of a host that belong to declared resources.

The inventory reports everything on the host that no resource claims.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True)
class Claims:
    """What one resource owns on the host.

    Attributes:
        paths: absolute paths of files, folders and links; a folder without its content.
        trees: absolute paths of folders, with all their content.
        units: systemd units by their full names, such as "portcullis-backup.timer".
        users: accounts.
        packages: Debian packages, without an architecture.
        contents: files of others in which we changed lines, each with the digest of the result.
    """

    paths: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    contents: tuple[tuple[str, str], ...] = ()


NOTHING = Claims()


class Claimed:
    """The claims of all resources, joined in one object."""

    def __init__(self, claims: Iterable[Claims] = ()) -> None:
        """Join the claims of all resources."""
        every = list(claims)
        self.paths, self.trees, self.units, self.users, self.packages = (
            _all(every, field.name) for field in fields(Claims) if field.name != "contents"
        )
        self.contents = frozenset(pair for one in every for pair in one.contents)
        self._trees = tuple(f"{tree.rstrip('/')}/" for tree in self.trees)

    def has_path(self, path: str) -> bool:
        """Return whether a resource owns the path, or owns a tree that contains the path."""
        return path in self.paths or path in self.trees or path.startswith(self._trees)


def content_of(path: Path) -> str:
    """Return the digest of a file in the form of `Claims.contents`, or "" if the file cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _all(claims: Iterable[Claims], name: str) -> frozenset[str]:
    return frozenset(value for one in claims for value in getattr(one, name))
