"""The files that set up a jail: our own file, and other files with a section for the jail.

fail2ban reads jail.conf, jail.d/*.conf, jail.local and jail.d/*.local, each group in alphabetical order. The
last value that fail2ban reads counts (jail.conf(5), "CONFIGURATION FILES FORMAT").
"""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from portcullis.agent import disk
from portcullis.agent.errors import AgentError
from portcullis.components.fail2ban.facts import OURS, jail_file

if TYPE_CHECKING:
    from pathlib import Path

_SECTION = re.compile(r"\[([^\]]+)\]")
_OPTION = re.compile(r"([^\s:=#;\[][^:=]*?)\s*[:=]\s*(.*)")


class Line(NamedTuple):
    """A line of a jail's file.

    `option` and `value` are set if the line sets an option in the requested section.
    """

    text: str
    option: str = ""
    value: str = ""


def path_of(folder: Path, jail: str) -> Path:
    """The path of our file for a jail."""
    return folder / jail_file(jail)


def others(folder: Path, jail: str) -> list[Path]:
    """Other files with a section for the jail, in the order in which fail2ban reads them.

    jail.conf is left out, because it has a section for every jail and enables none.
    """
    drop_ins = folder / "jail.d"
    found = [*sorted(drop_ins.glob("*.conf")), folder / "jail.local", *sorted(drop_ins.glob("*.local"))]
    theirs = [path for path in found if not path.name.startswith(OURS)]
    return [path for path in theirs if any(line.option for line in lines(path, jail))]


def later(folder: Path, jail: str) -> list[Path]:
    """Return the files of `others` that override our own file."""
    ours = path_of(folder, jail)
    return [path for path in others(folder, jail) if path.suffix == ".local" and path.parent == ours.parent
            and str(path) > str(ours)]  # fmt: skip


def lines(path: Path, jail: str) -> list[Line]:
    """Return every line of a jail's file.

    A line that continues a value belongs to the option of that value.
    """
    found: list[Line] = []
    inside, option = False, ""
    for text in _read(path).splitlines(keepends=True):
        section = _SECTION.match(text)
        setting = _OPTION.match(text)
        if section:
            inside, option = section[1] == jail, ""
            found.append(Line(text))
        elif inside and setting:
            option = setting[1].lower()
            found.append(Line(text, option, setting[2].strip()))
        elif inside and option and text[:1] in " \t" and text.strip():
            found.append(Line(text, option, text.strip()))
        else:
            found.append(Line(text))
    return found


def options(paths: list[Path], jail: str) -> dict[str, str]:
    """Return the options of a jail from these files. A later file overrides an earlier file.

    The words of a value are separated by one space.
    """
    merged: dict[str, str] = {}
    for path in paths:
        here: dict[str, list[str]] = {}
        for line in lines(path, jail):
            if line.option and line.text[:1] not in " \t":
                here[line.option] = line.value.split()
            elif line.option:
                here[line.option] += line.value.split()
        merged.update({option: " ".join(words) for option, words in here.items()})
    return merged


def silence(path: Path, jail: str) -> None:
    """Comment out the lines of a file that set options of the jail. Raises `AgentError`."""
    _rewrite(
        path, "".join(f"{mark(jail)}{line.text}" if line.option else line.text for line in lines(path, jail))
    )


def silenced(folder: Path, jail: str) -> list[Path]:
    """Return the files that contain lines that `silence` commented out. Raises `AgentError`."""
    return [path for path in sorted((folder / "jail.d").glob("*.local")) if mark(jail) in _read(path)]


def unsilence(folder: Path, jail: str) -> None:
    """Restore the lines that `silence` commented out, in every file. Raises `AgentError`."""
    for path in silenced(folder, jail):
        lines_ = _read(path).splitlines(keepends=True)
        _rewrite(path, "".join(line.removeprefix(mark(jail)) for line in lines_))


def mark(jail: str) -> str:
    """Return the text that `silence` puts before a line."""
    return f"#portcullis:{jail}# "


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise disk.unreadable(error, path) from None


def _rewrite(path: Path, text: str) -> None:
    """Replace the text of a file, and keep its owner and mode."""
    try:
        status = path.lstat()
    except OSError as error:
        raise disk.write_error(error, path) from None
    if not stat.S_ISREG(status.st_mode):
        raise AgentError(
            "invalid",
            f"{path} overrides the declared jail and is not a regular file",
            prop="overridden",
            hint=f"remove {path} from the host",
        )
    mode = stat.S_IMODE(status.st_mode)
    disk.write(path, text.encode("utf-8", "surrogateescape"), mode=mode, uid=status.st_uid, gid=status.st_gid)


def sections(path: Path) -> list[str]:
    """The sections in which a file sets an option, in their order. Raises `AgentError`."""
    found: dict[str, None] = {}
    section = ""
    for text in _read(path).splitlines():
        begins = _SECTION.match(text)
        if begins:
            section = begins[1]
        elif section and _OPTION.match(text):
            found[section] = None
    return list(found)
