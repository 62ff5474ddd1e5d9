"""The nightly walk finds programs with special rights, changed files and the sources of packages.

The walk reads the whole disk, which takes too long for a preview. The walk runs once before Portcullis
changes the host. After that, a timer starts the walk every night, at the lowest priority. Previews read the
result of the walk.

This module itself is installed on the host, so it imports the standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SETUID = {
    "/usr/bin/at", "/usr/bin/bsd-write", "/usr/bin/chage", "/usr/bin/chfn", "/usr/bin/chsh",
    "/usr/bin/crontab", "/usr/bin/dotlockfile", "/usr/bin/expiry", "/usr/bin/fusermount",
    "/usr/bin/fusermount3", "/usr/bin/gpasswd", "/usr/bin/locate", "/usr/bin/mlocate", "/usr/bin/mount",
    "/usr/bin/newgidmap", "/usr/bin/newgrp", "/usr/bin/newuidmap", "/usr/bin/ntfs-3g", "/usr/bin/passwd",
    "/usr/bin/pkexec", "/usr/bin/plocate", "/usr/bin/ssh-agent", "/usr/bin/su", "/usr/bin/sudo",
    "/usr/bin/umount", "/usr/bin/wall", "/usr/bin/write", "/usr/bin/write.ul",
    "/usr/lib/dbus-1.0/dbus-daemon-launch-helper", "/usr/lib/openssh/ssh-keysign",
    "/usr/lib/policykit-1/polkit-agent-helper-1", "/usr/lib/polkit-1/polkit-agent-helper-1",
    "/usr/lib/snapd/snap-confine", "/usr/lib/x86_64-linux-gnu/utempter/utempter",
    "/usr/sbin/exim4", "/usr/sbin/mount.cifs", "/usr/sbin/mount.nfs",
    "/usr/sbin/pam_extrausers_chkpwd", "/usr/sbin/postdrop", "/usr/sbin/postqueue", "/usr/sbin/pppd",
    "/usr/sbin/unix_chkpwd",
}  # fmt: skip
"""Programs that packages of Debian and Ubuntu install setuid or setgid."""
CAPABLE = {
    "/usr/bin/arping", "/usr/bin/dumpcap", "/usr/bin/fping", "/usr/bin/mtr-packet", "/usr/bin/newgidmap",
    "/usr/bin/newuidmap", "/usr/bin/ping", "/usr/lib/snapd/snap-confine",
    "/usr/lib/x86_64-linux-gnu/gstreamer1.0/gstreamer-1.0/gst-ptp-helper",
}  # fmt: skip
"""Programs that packages install with capabilities: capabilities(7)."""
SKIPPED = ("/proc", "/sys", "/dev", "/var/lib/docker", "/var/lib/containerd")
"""Folders that the walk skips, because they are not on the disk or have effect only inside containers."""
LOADED = (".so", ".py", ".pyc", ".pth", ".pl", ".pm", ".sh", ".ko", ".ko.gz", ".ko.xz", ".ko.zst")
"""Endings of files that programs load as code. The walk skips caches and documents."""
_SYSTEM = ("/usr/", "/boot/")
Names = tuple[Mapping[str, str], Mapping[str, str]]
_LOADED_FROM = ("/usr/lib/", "/usr/libexec/", "/usr/share/")
# polkit and D-Bus take rules, and the commands of root's services, from every file in these folders.
_OBEYED = ("/usr/share/polkit-1/", "/usr/share/dbus-1/system-services/", "/usr/share/dbus-1/system.d/")
# Python makes the caches, and dkms(8) builds modules for each new kernel.
_MADE = ("/__pycache__/", "/updates/dkms/")
_KERNEL = re.compile(r"/usr/lib/modules/[^/]+")
MOST = 1000
"""A result contains at most this number of findings."""
MOST_FOLDERS = 20_000
"""At most this number of folders of other accounts than root waits to be read. Others are left out."""
MOST_OF_A_USER = 100
"""A result contains at most this number of findings that belong to one account other than root."""
IN_NO_PACKAGE = "in no package"
"""These words end the text about a file that no package ships."""
GONE, CHANGED = "is missing,", "not as"
"""These words begin the text about a missing or changed packaged file. After these words comes the name of
the package."""
OPEN = "others than root can change it"
"""These words are a part of the text about a program that other accounts than root can write."""
SETS, CAN = "runs as", "has capabilities"
"""These words are a part of the text about a program that is setuid or setgid, or has capabilities."""
_RIGHTS, _RUNS, _WRITABLE = 0o6000, 0o111, 0o022


def main(target: str, admindir: str = "/var/lib/dpkg", root: str = "/") -> int:
    """Walk the disk, and write the result to a file that only root can read."""
    began = time.monotonic()
    result = walk(root, admindir)
    result["seconds"] = round(time.monotonic() - began, 1)
    write(target, result)
    print(f"walked in {result['seconds']} s: {len(result['programs'])} findings")  # noqa: T201
    return 0


def write(target: str, result: dict[str, Any]) -> None:
    """Write the result in one step, to a file that only root can read."""
    folder = Path(target).parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            json.dump(result, file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def walk(root: str, admindir: str) -> dict[str, Any]:
    """Return the findings by path, their packages, the sources by package, and the time since 1970."""
    owned = shipped(admindir)
    found = undeclared(root, owned)
    said = _output(["dpkg", f"--admindir={admindir}", f"--root={root}", "--verify"])
    changed = verified(said, owned)
    for path, told in changed.items():
        found.texts[path] = f"{found.texts[path]}, {told}" if path in found.texts else told
    shown = found.shown()
    packages = {path: owned[path] for path in changed if path in shown and path in owned}
    result = {"time": time.time(), "programs": shown, "packages": packages, "left": found.left}
    return {**result, "sources": _sources(admindir)}


class Findings:
    """The findings of a walk by path, with a limit for each account other than root."""

    def __init__(self, known: Names) -> None:
        """Start without findings. `known` has the names of accounts and groups."""
        self.texts: dict[str, str] = {}
        self.left: dict[str, int] = {}
        """The number of findings and folders that are left out, by their owner."""
        self._known = known
        self._of_users: dict[str, str] = {}
        self._count: dict[str, int] = {}

    def add(self, path: str, status: os.stat_result, told: list[str]) -> None:
        """Add a finding, unless its owner has too many."""
        owner = self._owner(status)
        self._count[owner] = self._count.get(owner, 0) + 1
        if status.st_uid and self._count[owner] > MOST_OF_A_USER:
            self.leave_out(status)
            return
        if status.st_uid:
            self._of_users[path] = owner
        self.texts[path] = describe(status, told, self._known)

    def leave_out(self, status: os.stat_result) -> None:
        """Count a finding or a folder that is left out."""
        owner = self._owner(status)
        self.left[owner] = self.left.get(owner, 0) + 1

    def _owner(self, status: os.stat_result) -> str:
        return self._known[0].get(str(status.st_uid), str(status.st_uid))

    def shown(self) -> dict[str, str]:
        """Return at most `MOST` findings, root's first."""
        paths = sorted(self.texts, key=lambda path: (path in self._of_users, path))
        for path in paths[MOST:]:
            owner = self._of_users.get(path, "root")
            self.left[owner] = self.left.get(owner, 0) + 1
        return {path: self.texts[path] for path in paths[:MOST]}


def shipped(admindir: str) -> dict[str, str]:
    """Return the package of each path.

    Paths in /bin, /sbin and /lib begin with /usr, because these folders are links.
    """
    owned: dict[str, str] = {}
    for path in Path(admindir, "info").glob("*.list"):
        owned.update(dict.fromkeys(map(_merged, _lines(path)), path.name[: -len(".list")].partition(":")[0]))
    diverted = _lines(Path(admindir, "diversions"))
    for place, moved in zip(diverted[::3], diverted[1::3], strict=False):
        owned[_merged(moved)] = owned.get(_merged(place), "a package")
    return owned


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "surrogateescape").split("\n")
    except FileNotFoundError:
        return []


def undeclared(root: str, owned: Mapping[str, str]) -> Findings:
    """Return programs with special rights, programs that others can write, and code that no package ships."""
    found = Findings(names(root))
    above = len(root.rstrip("/"))
    for real, status, is_powerless in _files(root, above, found):
        path = real[above:]
        told = faults(real, path, status, is_packaged=path in owned, is_powerless=is_powerless)
        if told and not (told == [IN_NO_PACKAGE] and _is_of_own_kernel(path, owned)):
            found.add(path, status, told)
    return found


def _files(root: str, above: int, found: Findings) -> Iterator[tuple[str, os.stat_result, bool]]:
    """Yield each plain file of the host with its status, and whether the kernel ignores its special rights.

    A folder of a user may have millions of entries, so no list of all of them is made.
    """
    waiting: list[str] = [root]
    of_users: list[str] = []
    while waiting or of_users:
        folder = (waiting or of_users).pop()
        # A folder that cannot be read, and a file that was removed meanwhile, are left out.
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            # The kernel ignores setuid bits and capabilities on such a file system: mount(8), nosuid.
            is_powerless = bool(os.statvfs(folder).f_flag & os.ST_NOSUID)
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        yield entry.path, status, is_powerless
                    elif not stat.S_ISDIR(status.st_mode) or entry.path[above:] in SKIPPED:
                        continue
                    elif status.st_uid and len(of_users) >= MOST_FOLDERS:
                        found.leave_out(status)
                    else:
                        (of_users if status.st_uid else waiting).append(entry.path)


def faults(
    real: str, path: str, status: os.stat_result, *, is_packaged: bool, is_powerless: bool = False
) -> list[str]:
    """Return the faults of a file's owner, mode and package. The list is empty for a file without a fault.

    Args:
        real: the path from which to read the file.
        path: the path of the file on the host.
        status: the result of lstat(2).
        is_packaged: whether a package ships the file.
        is_powerless: whether the kernel ignores special rights on this file system.
    """
    told = [] if is_powerless else _rights(real, path, status, is_packaged=is_packaged)
    if not is_packaged:
        return [*told, IN_NO_PACKAGE] if told or _is_strange_code(path, status) else []
    is_anothers = status.st_uid != 0 and path not in SETUID
    if path.startswith(_SYSTEM) and (is_anothers or status.st_mode & _WRITABLE):
        told.append(OPEN)
    return told


def names(root: str) -> Names:
    """Return the names of accounts and of groups by number: passwd(5), group(5)."""
    found = []
    for file in ("etc/passwd", "etc/group"):
        lines = [line.split(":") for line in _lines(Path(root, file))]
        # The first line with a number counts, as in the C library.
        found.append({words[2]: words[0] for words in lines[::-1] if len(words) > 3})  # noqa: PLR2004
    return found[0], found[1]


def describe(status: os.stat_result, told: list[str], known: Names) -> str:
    """Return a finding in words: `file 4755 root:root, runs as uid 0`."""
    user, group = str(status.st_uid), str(status.st_gid)
    owner = f"{known[0].get(user, user)}:{known[1].get(group, group)}"
    return ", ".join([f"file {stat.S_IMODE(status.st_mode):04o} {owner}", *told])


def _rights(real: str, path: str, status: os.stat_result, *, is_packaged: bool) -> list[str]:
    """Return the special rights of a program, except those that its package gives to it.

    The result is empty for most programs.
    """
    mode = stat.S_IMODE(status.st_mode)
    if not mode & _RUNS:
        return []
    words = []
    if mode & _RIGHTS and not (path in SETUID and is_packaged):
        if mode & stat.S_ISUID:
            words.append(f"{SETS} uid {status.st_uid}")
        if mode & stat.S_ISGID:
            words.append(f"{SETS} gid {status.st_gid}")
    if not (path in CAPABLE and is_packaged):
        with contextlib.suppress(OSError):
            if os.getxattr(real, "security.capability", follow_symlinks=False):
                words.append(f"{CAN} of root's")
    return [" and ".join(words)] if words else []


def _is_strange_code(path: str, status: os.stat_result) -> bool:
    if path.startswith(_OBEYED):
        return True
    if not path.startswith(_LOADED_FROM) or path.startswith("/usr/share/doc/"):
        return False
    if any(part in path for part in _MADE):
        return status.st_uid != 0 or bool(status.st_mode & _WRITABLE)
    name = path.rpartition("/")[2]
    return name.endswith(LOADED) or ".so." in name or bool(status.st_mode & _RUNS)


def _is_of_own_kernel(path: str, owned: Mapping[str, str]) -> bool:
    """Return whether the path is below the modules of a kernel that no package ships, as some clouds have."""
    found = _KERNEL.match(path)
    return found is not None and found[0] not in owned


_VERIFIED = re.compile(r"^(missing|\?\?5\S{6})\s+(c )?\s*(/.*?)(?: \(.*\))?$", re.MULTILINE)
_DOCUMENTS = (
    "/usr/share/doc/",
    "/usr/share/man/",
    "/usr/share/locale/",
    "/usr/share/info/",
    "/usr/share/lintian/",
)


def verified(text: str, owned: Mapping[str, str]) -> dict[str, str]:
    """Return the findings of `dpkg --verify`, without configuration files and documents.

    Many images are made without documents, which `dpkg` reports as missing.
    """
    found = {}
    for what, configuration, path in _VERIFIED.findall(text):
        if not configuration and not path.startswith(("/etc/", *_DOCUMENTS)):
            package = owned.get(_merged(path), "its package")
            is_gone = what == "missing"
            found[_merged(path)] = (
                f"is missing, {package} ships it" if is_gone else f"not as {package} ships it"
            )
    return found


def _sources(admindir: str) -> dict[str, list[str]]:
    """Return the sources of installed packages that the distribution does not provide."""
    names = _output(["dpkg-query", f"--admindir={admindir}", "-W", "-f", "${Package}\n"]).split()
    if not names:
        return {}
    ours = distribution(_output(["apt-cache", "policy"]))
    return {
        name: uris
        for name, uris in sources(_output(["apt-cache", "policy", *names])).items()
        if uris and not ours.intersection(uris)
    }


def distribution(text: str) -> set[str]:
    """Return the URIs of the distribution's own sources, from the output of `apt-cache policy`."""
    found = re.findall(r"^ *-?\d+ (\w+:\S+) .*\n +release (.*)$", text, re.MULTILINE)
    return {uri for uri, release in found if {"o=Debian", "o=Ubuntu"}.intersection(release.split(","))}


def sources(text: str) -> dict[str, list[str]]:
    """Return the sources of each package, from the output of `apt-cache policy` for many packages.

    The result has the sources of the installed version of each package. If no source has this version any
    more, the result has the sources of all versions.
    """
    found = {}
    for block in re.split(r"^(?=\S.*:$)", text, flags=re.MULTILINE):
        table = block.partition("Version table:")[2]
        if table and "\n  Installed: (none)" not in block:
            mine = re.search(r"^ \*\*\* .*\n((?: {8,}.*\n?)*)", table, re.MULTILINE)
            found[block.partition(":")[0]] = sorted(_uris(mine[1] if mine else "") or _uris(table))
    return found


def _uris(text: str) -> set[str]:
    return set(re.findall(r"^ {8,}-?\d+ (\w+:\S+)", text, re.MULTILINE))


def _output(argv: list[str]) -> str:
    """Return the output of a program, or "" if it cannot run. The program's exit code does not matter."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=1800, check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "surrogateescape")


def _merged(path: str) -> str:
    return f"/usr{path}" if path.startswith(("/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/")) else path


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
