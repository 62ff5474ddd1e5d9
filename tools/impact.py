"""Which tests with a host a change touches: what changed since the last landing, by tests/impact.toml."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tools.steps import ask

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

BASE = ".ci/base"
"""The file with the id of the commit that landed last."""


class NoBaseError(Exception):
    """It cannot be known what changed. The text says why."""


def changed(root: Path) -> list[str]:
    """Return the paths that differ from the commit in `BASE`, with those that are not committed.

    Raises:
        NoBaseError: there is no such commit, as in a shallow clone, or it is no ancestor of this one.
    """
    file = root / BASE
    base = file.read_text().strip() if file.is_file() else ""
    if not base:
        raise NoBaseError(f"{BASE} is missing or empty")
    known = ask(["git", "merge-base", "--is-ancestor", base, "HEAD"], cwd=root)
    if known.returncode == 1:
        raise NoBaseError(f"{base} of {BASE} is no ancestor of this commit")
    paths = ""
    for asked in (
        known,
        # Without --no-renames, the former path of a file is not listed.
        ask(["git", "diff", "-z", "--name-only", "--no-renames", base, "--"], cwd=root),
        ask(["git", "ls-files", "-z", "--others", "--exclude-standard"], cwd=root),
    ):
        if asked.returncode:
            raise NoBaseError(f"git does not know {base} of {BASE}: {asked.stderr.strip()}")
        paths += asked.stdout
    return sorted(filter(None, paths.split("\0")))


def matches(path: str, pattern: str) -> bool:
    """Return whether a pattern of the table matches. `/**` at its end stands for all of a folder."""
    if pattern.endswith("/**"):
        return path.startswith(pattern[:-2])
    return path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)


def touched(
    paths: Iterable[str], table: Mapping[str, Sequence[str]], seconds: Mapping[str, float]
) -> dict[str, str]:
    """Return which files with a host the paths touch, each with a path that does.

    What stands first in a list of the table comes first. Among files at the same place, the short ones do. So
    many short files of a folder do not take the time of the file that proves most.

    Args:
        paths: the paths that changed.
        table: tests/impact.toml.
        seconds: the files with a host, and how long they take.
    """
    found: dict[str, tuple[int, str]] = {}
    for path in paths:
        lists = [table[pattern] for pattern in table if matches(path, pattern)]
        for entries in [*lists, _of_test(path, seconds)]:
            for place, entry in enumerate(entries):
                for file in seconds:
                    if matches(file, entry):
                        found[file] = min(found.get(file, (place, path)), (place, path))
    order = sorted(found, key=lambda file: (found[file][0], seconds[file], file))
    return {file: found[file][1] for file in order}


def _of_test(path: str, hosted: Collection[str]) -> list[str]:
    """Return what a path below tests/ touches: itself, or the tests of the nearest folder that has some."""
    if not path.startswith("tests/"):
        return []
    if PurePosixPath(path).name.startswith("test_"):
        return [path]
    folders = [f"{folder}/" for folder in PurePosixPath(path).parents[:-2]]
    return [f"{folder}**" for folder in folders if any(file.startswith(folder) for file in hosted)][:1]
