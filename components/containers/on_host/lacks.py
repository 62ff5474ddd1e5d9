"""Name the settings that a container lacks, from the signs in its log.

Whatever runs in the container writes the log, so the log may lie. We run no pattern over it, print only paths
of a harmless form from it, and give advice but no command.
"""

from __future__ import annotations

from string import ascii_letters, digits

_LONGEST, _MOST = 120, 3  # characters of a path, paths in a sentence
_HARMLESS = frozenset(ascii_letters + digits + "/._@+-")
_BOUNDS = str.maketrans(dict.fromkeys("\"'`\u2018\u2019\u201c\u201d()[]{}<>,;:=|\\", " "))
# Data here need not outlive the program (FHS 3.0). A tmpfs elsewhere would hide what the image has there.
_PASSING = ("/run/lock", "/run", "/var/run", "/var/lock", "/var/cache", "/var/log", "/var/tmp")  # noqa: S108
_OURS = ("/proc/", "/sys/", "/dev/", "/tmp/", "/run/secrets/", "/var/run/secrets/")  # noqa: S108
_READ_ONLY = "read-only file system"
# The first is a question of nginx's images, which go on. For the others there is no setting.
_NO_SIGNS = (f"{_READ_ONLY}?", ", watch '", "fsnotify", "inotify", "shared memory", "create semaphores")
_USERS = ("chown", "setuid", "setgid", "group", "switching to")
_USER = "its image wants to start as root and then change its user: set `user` to the number of that user"
_SPACE = "it has no space left: make its `tmpfs` larger, use a volume, or free space on the host's disk"
_PIDS = "it may not start more processes or threads: raise `pids`"
_SIGNS = (  # a sign in lower case, words of which one is in its line too, and what we say
    ("operation not permitted", _USERS, _USER),
    ("too many open files", ("",), "it may not open more files: raise `nofile`"),
    ("no space left on device", ("",), _SPACE),
    ("resource temporarily unavailable", ("fork", "thread_create", "create thread", "spawn"), _PIDS),
    ("", ("spawn eagain", "native thread", "start new thread", "new os thread"), _PIDS),
)


def lacks(log: str) -> list[str]:
    """Return one sentence for each setting that a container lacks, by the end of its log."""
    lines = [line for line in log.splitlines() if not any(word in line.lower() for word in _NO_SIGNS)]
    said = [_read_only(lines)] if any(_READ_ONLY in line.lower() for line in lines) else []
    if paths := " and ".join(_paths(lines, "permission denied")):
        said.append(f"its user may not use {paths}: set `user` to the number of the owner in the image")
    for sign, near, sentence in _SIGNS:
        if any(sign in low and any(word in low for word in near) for low in map(str.lower, lines)):
            said.append(sentence)
    return list(dict.fromkeys(said))


def _read_only(lines: list[str]) -> str:
    folders = {path: _folder(path) for path in _paths(lines, _READ_ONLY)}
    in_memory = ", ".join(f"{folder}: 16" for folder in sorted({*folders.values()} - {""}))
    advice = [f"`tmpfs: {{{in_memory}}}`"] if in_memory else []
    if not in_memory or "" in folders.values():
        advice.append("a volume or a `tmpfs` for the folder with its data")
    where = " and ".join(folders) or "some file"
    return f"it writes to {where}, but its root file system is read-only: add {', and '.join(advice)}"


def _folder(path: str) -> str:
    """Return the folder around a path that may be empty at each start, or "" if there is none."""
    base = next((base for base in _PASSING if f"{path}/".startswith(f"{base}/")), "")
    name, below, _ = path[len(base) + 1 :].partition("/")
    # /var/run is a link to /run in most images. As a mount, it could hide /run/secrets.
    return f"{base}/{name}" if base and below else base.replace("/var/run", "/run")


def _paths(lines: list[str], sign: str) -> list[str]:
    """Return the last paths beside a sign, without the folders above one of them."""
    found = dict.fromkeys(path for line in lines if (path := _nearest(line, line.lower().rfind(sign), sign)))
    return [path for path in found if not any(other.startswith(f"{path}/") for other in found)][-_MOST:]


def _nearest(line: str, begin: int, sign: str) -> str:
    """Return the path that is nearest to a sign in its line, or ""."""
    found, end = [(len(line), "")], 0
    for word in line.translate(_BOUNDS).split() if begin >= 0 else ():
        start = line.index(word, end)
        end, path = start + len(word), word.removesuffix("/")
        rest = line[end:]
        # These are the places in programs, and the files that are only copied.
        is_source = rest[:1] == ":" and rest[1:2].isdigit()
        is_source |= rest.lstrip("\"':, ").startswith(("line ", "on line ", "-> "))
        if _is_harmless(path) and not is_source:
            found.append((max(begin - end, start - begin - len(sign)), path))
    return min(found)[1]


def _is_harmless(path: str) -> bool:
    first, *parts = path.split("/")
    is_path = not first and len(path) <= _LONGEST and _HARMLESS.issuperset(path)
    return is_path and not {"", ".", ".."} & {*parts} and not f"{path}/".startswith(_OURS)
