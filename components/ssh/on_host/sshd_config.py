"""The files that sshd reads: find the line that sets an option, and turn lines into comments and back."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARK = "#portcullis-off# "
_DEPTH = 16  # levels of includes, as in sshd
_WORDS = re.compile(r'"([^"]*)"|([^\s"]+)')

# Each line of these options adds a value. For every other option the first line wins (sshd_config(5)).
CUMULATIVE = frozenset(
    ["port", "hostkey", "listenaddress", "allowusers", "denyusers", "allowgroups", "denygroups", "acceptenv"]
)
# Older names of options that sshd still accepts.
_ALIASES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "dsaauthentication": "pubkeyauthentication",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "keepalive": "tcpkeepalive",
}

Effective = dict[str, list[str]]


@dataclass(frozen=True)
class Line:
    """A line that sets an option. `match` has the criteria of its Match block; "" outside of such a block."""

    file: str
    number: int
    keyword: str
    words: tuple[str, ...]
    match: str = ""

    @property
    def place(self) -> str:
        """The place of the line, as file and line number, for people."""
        return f"{self.file}:{self.number}"

    @property
    def has_port(self) -> bool:
        """Return whether the value of a ListenAddress includes a port.

        A `Port` line does not change such a value.
        """
        return re.fullmatch(r"(?:\[.*\]|[^:]+):\d+", self.value_alone) is not None

    @property
    def value_alone(self) -> str:
        """The value that the line sets."""
        return " ".join(self.words)

    @property
    def value(self) -> str:
        """The value that the line sets, with the condition of its Match block."""
        return self.value_alone + (f" for Match {self.match}" if self.match else "")


def read_lines(main: Path, read: Callable[[Path], str | None] | None = None) -> list[Line]:
    """Every line in force, in the order in which sshd reads them. The lines of included files are among them.

    Args:
        main: sshd's main configuration file. A relative path of an include is relative to this file's folder.
        read: returns the text of a file, or None if there is no such file.
    """
    return list(_lines(main, main.parent, read or read_text, "", 0))


def _lines(
    path: Path, folder: Path, read: Callable[[Path], str | None], match: str, depth: int
) -> Iterator[Line]:
    text = read(path)
    if text is None or depth > _DEPTH:
        return
    for number, raw in enumerate(text.splitlines(), 1):
        words = split(raw)
        if not words:
            continue
        keyword = words[0].lower()
        if keyword == "match":
            match = " ".join(words[1:])
        elif keyword == "include":
            yield Line(str(path), number, keyword, tuple(words[1:]), match)
            for pattern in words[1:]:
                for found in _expand(folder, pattern):
                    # A Match block in an included file ends with that file.
                    yield from _lines(found, folder, read, match, depth + 1)
        else:
            yield Line(str(path), number, _ALIASES.get(keyword, keyword), tuple(words[1:]), match)


def _expand(folder: Path, pattern: str) -> list[Path]:
    """The files that an include names, sorted as by glob(3)."""
    path = folder / pattern  # joining keeps an absolute pattern
    if not any(c in path.name for c in "*?["):
        return [path]
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return []
    # A pattern matches hidden files, such as copies of an editor, only if the pattern starts with a dot.
    shown = [name for name in names if not name.startswith(".") or path.name.startswith(".")]
    return [path.parent / name for name in shown if fnmatch.fnmatchcase(name, path.name)]


def read_text(path: Path) -> str | None:
    """Return the text of a file, or None for a file that is not readable. sshd skips such a file, too."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return None


def split(line: str) -> list[str]:
    """The words of a line, keyword first; none for a comment. A ``=`` may join keyword and value."""
    line = line.strip()
    keyword = re.match(r'"?([A-Za-z0-9]+)"?\s*=?\s*', line)
    if not keyword:
        return []
    words = []
    for quoted, plain in _WORDS.findall(line[keyword.end() :]):
        if plain.startswith("#"):
            break
        words.append(plain or quoted)
    return [keyword.group(1), *words]


def parse_effective(output: str) -> Effective:
    """The output of ``sshd -T`` as a map: keyword in lower case to the values of all its lines."""
    found: Effective = {}
    for line in output.splitlines():
        keyword, _, value = line.strip().partition(" ")
        if keyword:
            found.setdefault(keyword, []).append(value)
    return found


def rivals(lines: list[Line], ours: str, keyword: str, wanted: set[str]) -> list[Line]:
    """The lines of other files that can give `keyword` a value that is not in `wanted`, strongest first.

    Args:
        lines: every line in force.
        ours: path of our own file.
        keyword: the option, in lower case.
        wanted: the values that our own file sets, in lower case.
    """
    found, reached = [], False
    for line in lines:
        if line.file == ours:
            reached = True
        elif line.keyword != keyword or line.value_alone.lower() in wanted:
            continue
        # A line after our file has an effect only in a Match block, or if the option is cumulative.
        elif not reached or line.match or keyword in CUMULATIVE:
            found.append(line)
    # Lines in Match blocks are to blame only if no line outside of them is.
    return [line for line in found if not line.match] or found


def early_exceptions(lines: list[Line], ours: str, keyword: str, wanted: set[str]) -> list[Line]:
    """Lines in Match blocks that sshd reads before our file.

    These lines win over our file for the users in their criteria.
    """
    before = []
    for line in lines:
        if line.file == ours:
            break
        before.append(line)
    matching = [line for line in before if line.match]
    return rivals(matching, ours, keyword, wanted)


def includes(lines: list[Line], ours: Path) -> bool:
    """Return whether an Include outside of a Match block makes sshd read the file `ours`."""
    folder = str(ours.parent)
    return any(
        not line.match
        and any(
            fnmatch.fnmatchcase(str(ours), word if word.startswith("/") else f"{Path(folder).parent}/{word}")
            for word in line.words
        )
        for line in lines
        if line.keyword == "include"
    )


def take_out(text: str, numbers: set[int]) -> str:
    """Return `text` with these lines as comments that start with our mark.

    People can still read the lines.
    """
    lines = text.splitlines(keepends=True)
    return "".join(MARK + line if n in numbers else line for n, line in enumerate(lines, 1))


def put_back(text: str) -> str:
    """Return `text` without the changes of `take_out` and `with_include`. Later edits of other lines stay."""
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if not line.rstrip("\n").endswith(_ADDED)]
    return "".join(line.removeprefix(MARK) for line in kept)


_ADDED = " # added by Portcullis"


def with_include(text: str, folder: Path) -> str:
    """Return `text` with a new first line that includes the drop-ins."""
    # OpenSSH accepts a comment on the same line since 8.5. Every supported system has a newer version.
    return f"Include {folder}/*.conf{_ADDED}\n{text}"
