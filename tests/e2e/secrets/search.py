"""Searches texts, files and the file system of a host for canaries. allowed.toml lists the allowed places.

grep does the search. grep reads the patterns from a file that only root can read, so that no command line has
a canary.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.e2e.secrets.canaries import Canary

ALLOWED = Path(__file__).parent / "allowed.toml"


@dataclass(frozen=True, slots=True, order=True)
class Find:
    """A place where the search found a canary.

    Attributes:
        place: the kind of place, such as "host file", "environment" or "packet".
        where: the exact place, such as a path.
        canary: the name of the canary.
        form: the name of the spelling.
        owner: the number of the file's owner and its mode, such as "0 600". The mode leaves out permissions
            that have no effect because of the folders above the file.
    """

    place: str
    where: str
    canary: str
    form: str
    owner: str = ""


@dataclass(slots=True)
class Allowance:
    """A place that may have a secret, with the reason."""

    place: str
    where: str
    canaries: str
    owner: str
    why: str
    used: bool = False

    def covers(self, find: Find) -> bool:
        """Return whether this allowance permits a find."""
        return (
            self.place == find.place
            and re.fullmatch(self.where, find.where) is not None
            and re.fullmatch(self.canaries, find.canary) is not None
            and re.fullmatch(self.owner, find.owner) is not None
        )


def allowances(path: Path = ALLOWED) -> list[Allowance]:
    """Return all allowances of the list."""
    read = tomllib.loads(path.read_text())["allowed"]
    return [
        Allowance(one["place"], one["where"], one["canaries"], one.get("owner", ".*"), one["why"])
        for one in read
    ]


@dataclass
class Search:
    """A search for canaries, which counts the searched places."""

    canaries: list[Canary]
    looked: Counter[str] = field(default_factory=Counter)
    finds: set[Find] = field(default_factory=set)
    _known: tuple[int, dict[bytes, tuple[str, str]]] = field(default=(0, {}))

    def text(self, place: str, where: str, text: str | bytes, owner: str = "") -> None:
        """Search a text."""
        self.looked[place] += 1
        data = text.encode(errors="replace") if isinstance(text, str) else text
        for spelt in self._grep(["-aohF"], data):
            name, form = self._patterns[spelt]
            self.finds.add(Find(place, where, name, form, owner))

    def tree(self, place: str, root: Path, *, since: Path | None = None, skip: Iterable[str] = ()) -> None:
        """Look through all files below a folder that were written or changed after another file was.

        Args:
            place: the kind of place.
            root: where it begins; what is found is named from there.
            since: that file; without it every file is read.
            skip: folders that are left out, from `root`.
        """
        argv = ["find", "-H", str(root)]  # a root may be a link, as in /proc
        for folder in skip:
            argv += ["-path", f"{root}/{folder}", "-prune", "-o"]
        argv += ["-type", "f", *(["-cnewer", str(since)] if since else []), "-print0"]
        # Files come and go while it looks.
        listed = subprocess.run(argv, capture_output=True, check=False, timeout=300).stdout
        self.looked[place] += listed.count(b"\0")
        begun = time.monotonic()
        for entry in self._grep(["-aoHZsF"], listed, through=["xargs", "-0", "-r"]):
            path, _, spelt = entry.partition(b"\0")
            name, form = self._patterns[spelt]
            file = Path(os.fsdecode(path))
            self.finds.add(Find(place, f"/{file.relative_to(root)}", name, form, _owner(file, root)))
        say(f"{place} {root}: {listed.count(bytes(1))} files, {time.monotonic() - begun:.1f} s")

    def _grep(self, options: list[str], given: bytes, *, through: Sequence[str] = ()) -> set[bytes]:
        """Return the lines that grep prints: each is what it found, after a file's name and a zero byte."""
        with tempfile.NamedTemporaryFile() as patterns:
            # A line is a pattern. Of what has a line end in it, other spellings are looked for.
            patterns.write(b"".join(pattern + b"\n" for pattern in self._patterns if b"\n" not in pattern))
            patterns.flush()
            done = subprocess.run(
                [*through, "grep", *options, "-f", patterns.name, *(["--"] if through else ["-"])],
                input=given, capture_output=True, check=False, timeout=600,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            )  # fmt: skip
        assert b"grep:" not in done.stderr, done.stderr[-500:]
        return set(done.stdout.splitlines())

    @property
    def _patterns(self) -> dict[bytes, tuple[str, str]]:
        if self._known[0] != len(self.canaries):
            found: dict[bytes, tuple[str, str]] = {}
            for canary in self.canaries:
                for pattern, form in canary.forms():
                    found.setdefault(pattern, (canary.name, form))
            self._known = (len(self.canaries), found)
        return self._known[1]

    def not_allowed(self, allowed: list[Allowance]) -> list[Find]:
        """Return the finds that no allowance covers. Mark the allowances that cover a find as used."""
        left = []
        for find in sorted(self.finds):
            covering = [one for one in allowed if one.covers(find)]
            for one in covering:
                one.used = True
            if not covering:
                left.append(find)
        return left

    def summary(self, left: Iterable[Find]) -> str:
        """Return one line with the numbers of canaries, places and finds."""
        places = ", ".join(f"{count} {place}" for place, count in sorted(self.looked.items()))
        return (
            f"{len(self.canaries)} canaries in {len(self._patterns)} spellings, looked for in "
            f"{sum(self.looked.values())} places ({places}): {len(self.finds)} finds, "
            f"{len(list(left))} of them not allowed"
        )


def say(line: str) -> None:
    """Print the progress of the drill."""
    print(line, flush=True)  # noqa: T201 - people watch the drill


def _owner(file: Path, root: Path) -> str:
    try:
        found = file.stat()
        mode = found.st_mode & 0o7777
        for folder in file.relative_to(root).parents:
            may = (root / folder).stat().st_mode if folder.name else 0o777
            # Without the right to enter a folder, nobody opens a file in it.
            mode &= ~sum(right * 7 for right in (0o10, 0o1) if not may & right)
    except OSError:
        return "gone"
    return f"{found.st_uid} {mode:o}"
