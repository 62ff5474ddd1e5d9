"""The nightly walk: programs with rights of their own, changed files of packages, sources of packages.

It reads the whole disk, which is too much for a survey. It runs before the first change of ours and then as a
program of its own, from a timer at the lowest priority. The survey reads its result.

The component puts this very file on the host, so it imports the standard library only.
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
from pathlib import Path
from typing import Any, Dict, List, Set

SETUID = {
    "/usr/bin/at", "/usr/bin/bsd-write", "/usr/bin/chage", "/usr/bin/chfn", "/usr/bin/chsh",
    "/usr/bin/crontab", "/usr/bin/dotlockfile", "/usr/bin/expiry", "/usr/bin/fusermount",
    "/usr/bin/fusermount3", "/usr/bin/gpasswd", "/usr/bin/locate", "/usr/bin/mlocate", "/usr/bin/mount",
    "/usr/bin/newgidmap", "/usr/bin/newgrp", "/usr/bin/newuidmap", "/usr/bin/ntfs-3g", "/usr/bin/passwd",
    "/usr/bin/pkexec", "/usr/bin/plocate", "/usr/bin/ssh-agent", "/usr/bin/su", "/usr/bin/sudo",
    "/usr/bin/umount", "/usr/bin/wall", "/usr/bin/write", "/usr/bin/write.ul",
    "/usr/lib/dbus-1.0/dbus-daemon-launch-helper", "/usr/lib/openssh/ssh-keysign",
    "/usr/lib/policykit-1/polkit-agent-helper-1", "/usr/lib/polkit-1/polkit-agent-helper-1",
    "/usr/lib/snapd/snap-confine", "/usr/sbin/exim4", "/usr/sbin/mount.cifs", "/usr/sbin/mount.nfs",
    "/usr/sbin/pam_extrausers_chkpwd", "/usr/sbin/postdrop", "/usr/sbin/postqueue", "/usr/sbin/pppd",
    "/usr/sbin/unix_chkpwd",
}  # fmt: skip
"""Programs to which their packages in Debian and Ubuntu give the rights of another account."""
CAPABLE = {
    "/usr/bin/arping", "/usr/bin/dumpcap", "/usr/bin/fping", "/usr/bin/mtr-packet", "/usr/bin/newgidmap",
    "/usr/bin/newuidmap", "/usr/bin/ping", "/usr/lib/snapd/snap-confine",
    "/usr/lib/x86_64-linux-gnu/gstreamer1.0/gstreamer-1.0/gst-ptp-helper",
}  # fmt: skip
"""Programs to which their packages give capabilities: capabilities(7)."""
SKIPPED = ("/proc", "/sys", "/dev", "/var/lib/docker", "/var/lib/containerd")
"""What is not on the disk, and what is inside containers and works there alone."""
LOADED = (".so", ".py", ".pth", ".pl", ".pm", ".sh", ".ko")
"""Endings of what programs load. Caches and documents are passed over."""
_LOADED_FROM = ("/usr/lib/", "/usr/libexec/", "/usr/share/")
_MADE = ("/__pycache__/", "/usr/lib/modules/", "/usr/share/doc/")
MOST = 1000
"""Findings that are kept."""
_RIGHTS, _RUNS = 0o6000, 0o111


def main(target: str, admindir: str = "/var/lib/dpkg", root: str = "/") -> int:
    """Walk, and write the result to a file for root alone."""
    began = time.monotonic()
    result = walk(root, admindir)
    result["seconds"] = round(time.monotonic() - began, 1)
    write(target, result)
    print(f"walked in {result['seconds']} s: {len(result['programs'])} findings")  # noqa: T201
    return 0


def write(target: str, result: Dict[str, Any]) -> None:
    """Write the result in one step, for root alone."""
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


def walk(root: str, admindir: str) -> Dict[str, Any]:
    """Return findings by path, sources by package, and the time in seconds since 1970."""
    owned = shipped(admindir)
    programs = strangers(root, owned)
    programs.update(verified(_output(["dpkg", f"--admindir={admindir}", f"--root={root}", "--verify"])))
    sources = _sources(admindir)
    return {"time": time.time(), "programs": dict(sorted(programs.items())[:MOST]), "sources": sources}


def shipped(admindir: str) -> Set[str]:
    """Return the paths that packages ship, as they are since /bin and /lib are links into /usr."""
    owned: Set[str] = set()
    for path in Path(admindir, "info").glob("*.list"):
        owned.update(map(_merged, _lines(path)))
    owned.update(map(_merged, _lines(Path(admindir, "diversions"))[1::3]))
    return owned


def _lines(path: Path) -> List[str]:
    try:
        return path.read_text("utf-8", "surrogateescape").split("\n")
    except FileNotFoundError:
        return []


def strangers(root: str, owned: Set[str]) -> Dict[str, str]:
    """Return programs with rights that no package gives, and code in /usr that no package ships."""
    found: Dict[str, str] = {}
    above = len(root.rstrip("/"))
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            entries = list(os.scandir(folder))
            # Rights count for nothing on such a file system: mount(8), nosuid.
            is_powerless = bool(os.statvfs(folder).f_flag & os.ST_NOSUID)
        except OSError:
            continue
        for entry in entries:
            path = entry.path[above:]
            try:
                if entry.is_dir(follow_symlinks=False):
                    if path not in SKIPPED:
                        waiting.append(entry.path)
                    continue
                if entry.is_file(follow_symlinks=False):
                    told = _told(entry, path, owned, is_powerless=is_powerless)
                    if told:
                        found[path] = told
            except OSError:
                continue  # it went while the folder was read
    return found


def _told(entry: Any, path: str, owned: Set[str], *, is_powerless: bool) -> str:
    status = entry.stat(follow_symlinks=False)
    rights = "" if is_powerless else _rights(entry.path, path, status, owned)
    if rights or not _is_strange_code(path, status, owned):
        return rights
    return f"file {stat.S_IMODE(status.st_mode):04o} of uid {status.st_uid}, in no package"


def _rights(real: str, path: str, status: os.stat_result, owned: Set[str]) -> str:
    """Return whose rights a program has that no package gives it; "" for one that runs as who starts it."""
    mode = stat.S_IMODE(status.st_mode)
    if not mode & _RUNS:
        return ""
    words = []
    if mode & _RIGHTS and not (path in SETUID and path in owned):
        if mode & stat.S_ISUID:
            words.append(f"runs as uid {status.st_uid}")
        if mode & stat.S_ISGID:
            words.append(f"runs as gid {status.st_gid}")
    if not (path in CAPABLE and path in owned):
        with contextlib.suppress(OSError):
            if os.getxattr(real, "security.capability", follow_symlinks=False):
                words.append("has capabilities of root's")
    if not words:
        return ""
    return f"file {mode:04o}, {' and '.join(words)}{'' if path in owned else ', in no package'}"


def _is_strange_code(path: str, status: os.stat_result, owned: Set[str]) -> bool:
    if path in owned or not path.startswith(_LOADED_FROM) or any(part in path for part in _MADE):
        return False
    name = path.rpartition("/")[2]
    return name.endswith(LOADED) or ".so." in name or bool(status.st_mode & _RUNS)


_VERIFIED = re.compile(r"^(missing|\?\?5\S{6})\s+(c )?\s*(/.*?)(?: \(.*\))?$", re.MULTILINE)
_DOCUMENTS = (
    "/usr/share/doc/",
    "/usr/share/man/",
    "/usr/share/locale/",
    "/usr/share/info/",
    "/usr/share/lintian/",
)


def verified(text: str) -> Dict[str, str]:
    """Return what `dpkg --verify` says of files that are not configuration; pure.

    Images are often made without documents, which `dpkg` calls missing.
    """
    found = {}
    for what, configuration, path in _VERIFIED.findall(text):
        if not configuration and not path.startswith(("/etc/", *_DOCUMENTS)):
            is_gone = what == "missing"
            found[_merged(path)] = "is missing" if is_gone else "not as its package ships it"
    return found


def _sources(admindir: str) -> Dict[str, List[str]]:
    """Return where each installed package can come from that has another source than the distribution."""
    names = _output(["dpkg-query", f"--admindir={admindir}", "-W", "-f", "${Package}\n"]).split()
    if not names:
        return {}
    ours = distribution(_output(["apt-cache", "policy"]))
    return {
        name: uris
        for name, uris in sources(_output(["apt-cache", "policy", *names])).items()
        if uris and not ours.intersection(uris)
    }


def distribution(text: str) -> Set[str]:
    """Return the URIs of the distribution's own sources, out of `apt-cache policy`; pure."""
    found = re.findall(r"^ *-?\d+ (\w+:\S+) .*\n +release (.*)$", text, re.MULTILINE)
    return {uri for uri, release in found if {"o=Debian", "o=Ubuntu"}.intersection(release.split(","))}


def sources(text: str) -> Dict[str, List[str]]:
    """Return the sources of each package, out of `apt-cache policy` of many; pure.

    Of the installed version; where no list has that one any more, of any version.
    """
    found = {}
    for block in re.split(r"^(?=\S.*:$)", text, flags=re.MULTILINE):
        table = block.partition("Version table:")[2]
        if table and "\n  Installed: (none)" not in block:
            mine = re.search(r"^ \*\*\* .*\n((?: {8,}.*\n?)*)", table, re.MULTILINE)
            found[block.partition(":")[0]] = sorted(_uris(mine[1] if mine else "") or _uris(table))
    return found


def _uris(text: str) -> Set[str]:
    return set(re.findall(r"^ {8,}-?\d+ (\w+:\S+)", text, re.MULTILINE))


def _output(argv: List[str]) -> str:
    """Return what a program prints; "" where it cannot run. A finding of dpkg's is no failure."""
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
