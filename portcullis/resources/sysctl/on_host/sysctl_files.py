"""Files of kernel settings as systemd reads them at boot: sysctl.d(5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Entry:
    """One line: a key in the form of a path below /proc/sys, its value, and its file."""

    key: str
    value: str
    file: str = ""


def normal(key: str) -> str:
    """Return a key as a path.

    The first dot or slash in the key tells which character separates names. If the first one is a dot, dots
    separate names and a slash is part of a name. If the first one is a slash, slashes separate names.
    """
    first = next((sign for sign in key if sign in "./"), "/")
    return key.translate(str.maketrans("./", "/.")) if first == "." else key


def parse(text: str) -> Iterator[Entry]:
    """Yield the assignments of a file, in order. A dash before a key means that systemd ignores a failure."""
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and key[:1] not in ("#", ";"):
            yield Entry(normal(key.strip().lstrip("-").strip()), " ".join(value.split()))


def read(path: Path) -> list[Entry]:
    """Return the assignments of a file, or none for a missing file. Raises `AgentError` (``unreadable``)."""
    try:
        text = path.read_text("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise disk.unreadable(error, path) from None
    return [replace(entry, file=str(path)) for entry in parse(text)]


def assignments(folders: Sequence[Path]) -> Iterator[Entry]:
    """Yield every assignment in `folders`, in the order in which systemd makes them."""
    for path in _files(folders):
        yield from read(path)


def after(folders: Sequence[Path], own: str) -> Iterator[Entry]:
    """Yield the assignments that systemd makes after the file `own`, and that therefore win.

    Patterns are left out: a line with the whole key wins over a pattern in any file.
    """
    for path in _files(folders):
        if path.name > Path(own).name:
            yield from (entry for entry in read(path) if not set("*?[") & set(entry.key))


def left_out(folders: Sequence[Path]) -> Iterator[str]:
    """Yield the keys that patterns skip: lines without value, such as ``-net.ipv4.conf.all.rp_filter``."""
    for path in _files(folders):
        try:
            lines = path.read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        yield from (normal(line.strip()[1:].strip()) for line in lines if line[:1] == "-" and "=" not in line)


def by_ufw(etc: Path) -> Iterator[Entry]:
    """Yield the assignments that an enabled ufw makes at each start and reload, after systemd."""
    enabled = dict(shell_values(etc / "ufw/ufw.conf")).get("ENABLED", "no")
    path = ufw_file(etc)
    if enabled.lower() == "yes" and path.startswith("/"):
        yield from read(Path(path))


def ufw_file(etc: Path) -> str:
    """Return the file of settings that ufw applies at each start, or a text that is not a path."""
    return dict(shell_values(etc / "default/ufw")).get("IPT_SYSCTL") or "(none)"


def shell_values(path: Path) -> Iterator[tuple[str, str]]:
    """Yield name and value of each ``NAME=value`` line of a file such as /etc/default/ufw."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            yield name.strip(), value.strip().strip("\"'")


def _files(folders: Sequence[Path]) -> list[Path]:
    """Return the files that systemd reads, sorted by name.

    A file hides files of the same name in later folders.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for path in folder.glob("*.conf"):
            found.setdefault(path.name, path)
    return [found[name] for name in sorted(found)]
