"""The files that sshd reads: which line sets what, and taking single lines out of force and back."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List

if TYPE_CHECKING:
    from typing import Callable, Iterator

MARK = "#portcullis-off# "
_DEPTH = 16  # of includes, as in sshd
_WORDS = re.compile(r'"([^"]*)"|([^\s"]+)')

# Every line of these adds to the ones before it; of all others the first wins (sshd_config(5)).
CUMULATIVE = frozenset(
    ["port", "hostkey", "listenaddress", "allowusers", "denyusers", "allowgroups", "denygroups", "acceptenv"]
)
# Older names that sshd still takes.
_ALIASES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "dsaauthentication": "pubkeyauthentication",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "keepalive": "tcpkeepalive",
}

Effective = Dict[str, List[str]]


@dataclass(frozen=True)
class Line:
    """A line that sets something. `match` holds the criteria of the block that it stands in, or nothing."""

    file: str
    number: int
    keyword: str
    words: tuple[str, ...]
    match: str = ""

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{self.file}:{self.number}"

    @property
    def has_port(self) -> bool:
        """Whether an address to listen on comes with a port, which no `Port` line changes then."""
        return re.fullmatch(r"(?:\[.*\]|[^:]+):\d+", self.value_alone) is not None

    @property
    def value_alone(self) -> str:
        """What it sets."""
        return " ".join(self.words)

    @property
    def value(self) -> str:
        """What it sets, with the condition that it is set under."""
        return self.value_alone + (f" for Match {self.match}" if self.match else "")


def read_lines(main: Path, read: Callable[[Path], str | None] | None = None) -> list[Line]:
    """Every line in force, in the order in which sshd reads them, includes followed.

    Args:
        main: sshd's own configuration file; includes without a folder are relative to its.
        read: the text of a file, None where there is none.
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
    """The files that an include names, sorted as glob(3) does."""
    path = folder / pattern  # an absolute pattern stays itself
    if not any(c in path.name for c in "*?["):
        return [path]
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except (OSError, ValueError):  # a zero byte in the file
        return []
    # Hidden files, such as an editor's, are matched by a pattern only if it says so.
    shown = [name for name in names if not name.startswith(".") or path.name.startswith(".")]
    return [path.parent / name for name in shown if fnmatch.fnmatchcase(name, path.name)]


def read_text(path: Path) -> str | None:
    """A file's text, None where it cannot be read: sshd skips it too."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except (OSError, ValueError):  # a zero byte in its name
        return None


def split(line: str) -> list[str]:
    """The words of a line, keyword first; none for a comment. Keyword and value may be joined by ``=``."""
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
    """What ``sshd -T`` prints: a keyword in small letters, with the values of each of its lines."""
    found: Effective = {}
    for line in output.splitlines():
        keyword, _, value = line.strip().partition(" ")
        if keyword:
            found.setdefault(keyword, []).append(value)
    return found


def rivals(lines: list[Line], ours: str, keyword: str, wanted: set[str]) -> list[Line]:
    """The lines of others that can be the reason why `keyword` is not one of `wanted`, strongest first.

    Args:
        lines: every line in force.
        ours: our own file.
        keyword: in small letters.
        wanted: the values that our own file sets, in small letters.
    """
    found, reached = [], False
    for line in lines:
        if line.file == ours:
            reached = True
        elif line.keyword != keyword or line.value_alone.lower() in wanted:
            continue
        # Whoever comes after us loses, but for what adds up, and for Match blocks.
        elif not reached or line.match or keyword in CUMULATIVE:
            found.append(line)
    # An exception is to blame only where no line for everybody is.
    return [line for line in found if not line.match] or found


def early_exceptions(lines: list[Line], ours: str, keyword: str, wanted: set[str]) -> list[Line]:
    """Match blocks of others before our file: what they set holds for whom they name, whatever we set."""
    before = []
    for line in lines:
        if line.file == ours:
            break
        before.append(line)
    matching = [line for line in before if line.match]
    return rivals(matching, ours, keyword, wanted)


def includes(lines: list[Line], ours: Path) -> bool:
    """Whether a file of that name is read, for everybody."""
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
    """`text` with these lines as comments of ours; whoever reads the file sees what they said."""
    lines = text.splitlines(keepends=True)
    return "".join(MARK + line if n in numbers else line for n, line in enumerate(lines, 1))


def put_back(text: str) -> str:
    """`text` as it was before `take_out` and `with_include`, whatever was edited around it since."""
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if not line.rstrip("\n").endswith(_ADDED)]
    return "".join(line.removeprefix(MARK) for line in kept)


_ADDED = " # added by Portcullis"


def with_include(text: str, folder: Path) -> str:
    """`text` with a first line that reads the drop-ins."""
    # A comment on the same line is understood since OpenSSH 8.5; every system that we know has a newer one.
    return f"Include {folder}/*.conf{_ADDED}\n{text}"
