"""What nginx loads: its main file and every file that this one includes, with the servers in them.

Read from the files: `nginx -T` says the same, and starts a process that reads every certificate.
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, List

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEPTH = 16  # of includes
_FILES = 2_000
_SIZE = 1 << 20  # bytes of one file
_NAMED = 5  # names and ports in one text
# A comment, a quoted word, an end of a directive or block, a word.
_TOKEN = re.compile(
    r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{};]|"""
    r"""(?:\\.|\$\{[^}]*\}?|[^\s{};"'])+""",
    re.DOTALL,
)


@dataclass
class Loaded:
    """A file that nginx loads.

    Attributes:
        names: what its `server_name` lines say.
        listens: where its `listen` lines say that it listens, without options.
    """

    names: List[str] = field(default_factory=list)
    listens: List[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What it does, for people."""
        if not self.names and not self.listens:
            return "nginx loads it"
        ports = f" on {_some(self.listens)}" if self.listens else ""
        return f"nginx loads it: serves {_some(self.names) or 'any name'}{ports}"


def loaded(main: Path) -> dict[str, Loaded]:
    """Return every file that nginx loads by its path, the main one first; none that cannot be read."""
    found: dict[str, Loaded] = {}
    _load(main, main.parent, found, 0)
    return found


def _load(path: Path, folder: Path, found: dict[str, Loaded], depth: int) -> None:
    if str(path) in found or depth > _DEPTH or len(found) > _FILES:
        return
    try:
        with path.open("rb") as file:
            text = file.read(_SIZE).decode("utf-8", "surrogateescape")
    except OSError:
        return
    here = found[str(path)] = Loaded()
    for words in directives(text):
        if words[0] == "include":
            for pattern in words[1:]:
                # Relative to the main file's folder, wherever the line stands; in the order of glob(3).
                for name in sorted(glob.glob(str(folder / pattern))):  # noqa: PTH207 - absolute
                    _load(Path(name), folder, found, depth + 1)
        elif words[0] == "server_name":
            here.names += [word or '""' for word in words[1:]]
        elif words[0] == "listen":
            here.listens += words[1:2]


def directives(text: str) -> Iterator[list[str]]:
    """Give the words of each directive, and of what stands before a block."""
    words: list[str] = []
    for token in _TOKEN.findall(text):
        if token[0] == "#":
            continue
        if token in ("{", "}", ";"):
            if words:
                yield words
            words = []
        else:
            words.append(token[1:-1] if token[0] in "\"'" else token)


def _some(words: list[str]) -> str:
    unique = list(dict.fromkeys(words))
    more = len(unique) - _NAMED
    return ", ".join(unique[:_NAMED]) + (f" and {more} more" if more > 0 else "")
