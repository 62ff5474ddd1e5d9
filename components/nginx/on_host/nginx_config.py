"""The files that nginx loads: its main file and every included file, with the servers in them.

The agent reads the files itself. `nginx -T` would print the same, but it also reads every certificate.
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import safe_paths
from portcullis.agent.undeclared import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEPTH = 16  # levels of includes
_FILES = 2_000
_SIZE = 1 << 20  # bytes of one file
_NAMED = 5  # names or ports in one text
# Matches a comment, a quoted word, a character that ends a directive or block, or a word.
_TOKEN = re.compile(
    r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{};]|"""
    r"""(?:\\.|\$\{[^}]*\}?|[^\s{};"'])+""",
    re.DOTALL,
)


@dataclass
class Loaded:
    """A file that nginx loads.

    Attributes:
        names: the names in its `server_name` lines.
        listens: the addresses and ports in its `listen` lines, without options.
        groups: the names of its `upstream` blocks.
        servers: the servers in these blocks.
        passes: the targets of its `proxy_pass` lines, and of `fastcgi_pass` and the like.
    """

    names: list[str] = field(default_factory=list)
    listens: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    servers: list[str] = field(default_factory=list)
    passes: list[str] = field(default_factory=list)

    def add(self, words: list[str]) -> None:
        """Add what a directive says. The words after the first one are options, but for `server_name`."""
        if words[0] == "server_name":
            self.names += words[1:]
        elif words[0] == "listen":
            self.listens += words[1:2]
        elif words[0] == "upstream":
            self.groups += words[1:2]
        elif words[0] == "server":
            self.servers += words[1:2]
        elif words[0].endswith("_pass"):
            self.passes += words[1:2]

    @property
    def text(self) -> str:
        """A text for people that says what nginx uses the file for."""
        if not self.names and not self.listens:
            return "nginx loads it"
        ports = f" on {_some(self.listens)}" if self.listens else ""
        return f"nginx loads it: serves {_some(self.names) or 'any name'}{ports}"


def loaded(main: Path) -> dict[str, Loaded]:
    """Return every readable file that nginx loads, by path, the main file first."""
    found: dict[str, Loaded] = {}
    _load(main, main.parent, found, 0)
    return found


def _text(path: Path) -> str | None:
    """Return the text of a regular file, or None. A pipe would wait for its writer."""
    try:
        fd = safe_paths.open_behind_links(path)
    except OSError:
        return None
    if fd is None:
        return None
    with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
        return file.read(_SIZE).decode("utf-8", "surrogateescape")


def _load(path: Path, folder: Path, found: dict[str, Loaded], depth: int) -> None:
    if str(path) in found or depth > _DEPTH or len(found) > _FILES:
        return
    text = _text(path)
    if text is None:
        return
    here = found[str(path)] = Loaded()
    for words in directives(text):
        if words[0] == "include":
            for pattern in words[1:]:
                # nginx resolves every pattern from the main file's folder, and loads files in the order of
                # glob(3).
                for name in sorted(glob.glob(str(folder / pattern))):  # noqa: PTH207 - absolute
                    _load(Path(name), folder, found, depth + 1)
        else:
            here.add(words)


def directives(text: str) -> Iterator[list[str]]:
    """Yield the words of each directive; for a block, only the words before its opening brace."""
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
    unique = list(dict.fromkeys(map(plain, words)))
    more = len(unique) - _NAMED
    return ", ".join(unique[:_NAMED]) + (f" and {more} more" if more > 0 else "")
