"""Why a file that no package ships may be there: proofs by what made it, and a table of the rest.

On a plain Debian 576 entries of /etc and its like are in no package. Programs of packages made nearly all of
them, and each such program leaves something behind that proves it.
"""

from __future__ import annotations

import contextlib
import fnmatch
import posixpath
import re
from typing import TYPE_CHECKING, Dict, Mapping, Set, Tuple

from portcullis.components.inventory.on_host import dpkg, pam

if TYPE_CHECKING:
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from portcullis.components.inventory.on_host.dpkg import Dpkg
    from portcullis.components.inventory.on_host.tree_walk import Seen, Walk

CHANGING: Mapping[str, str] = {
    "/etc/passwd": "accounts are read by themselves",
    "/etc/group": "groups are read by themselves",
    "/etc/shadow": "passwords are read by themselves",
    "/etc/gshadow": "groups are read by themselves",
    "/etc/subuid": "useradd gives each account a range: subuid(5)",
    "/etc/subgid": "useradd gives each account a range: subgid(5)",
    "/etc/passwd-": "a copy that useradd makes",
    "/etc/group-": "a copy that useradd makes",
    "/etc/shadow-": "a copy that useradd makes",
    "/etc/gshadow-": "a copy that useradd makes",
    "/etc/subuid-": "a copy that useradd makes",
    "/etc/subgid-": "a copy that useradd makes",
    "/etc/.pwd.lock": "a lock of passwd's: lckpwdf(3)",
    "/etc/security/opasswd": "old passwords: pam_pwhistory(8)",
    "/etc/ld.so.cache": "ldconfig makes it of the libraries that are there",
    "/etc/machine-id": "systemd makes it at the first boot: machine-id(5)",
    "/etc/adjtime": "how far the clock is off: hwclock(8)",
    "/etc/.updated": "systemd notes when /etc was made: systemd-update-done.service(8)",
    "/etc/ca-certificates.conf": "the package ca-certificates keeps it; each certificate is looked at",
    "/etc/python3/debian_config": "the package python3 makes it",
    "/etc/docker/key.json": "the engine's own key, of older versions",
    "/etc/shells": "packages add their shells: update-shells(8)",
    "/var/spool/cron/atjobs/.SEQ": "the number of at's next job",
}
"""Files whose content changes by itself, or is told elsewhere. Root alone may write them."""

LINKS: Mapping[str, Tuple[str, ...]] = {
    "/etc/mtab": ("../proc/self/mounts", "/proc/self/mounts", "/proc/mounts"),
    "/etc/localtime": ("/usr/share/zoneinfo/*",),
    "/etc/vconsole.conf": ("default/keyboard",),
    "/etc/default/locale": ("../locale.conf",),
    "/etc/dpkg/origins/default": ("debian", "ubuntu"),
    "/etc/nginx/sites-enabled/default": ("/etc/nginx/sites-available/default",),
    "/etc/runit/runsvdir/default/ssh": ("/etc/sv/ssh",),
    "/usr/local/man": ("share/man",),
    "/var/spool/mail": ("../mail",),
}
"""Links that maintainer scripts make, with what they may point to."""

COPIES: Mapping[str, str] = {
    "/etc/profile": "/usr/share/base-files/profile",
    "/etc/motd": "/usr/share/base-files/motd",
    "/etc/nsswitch.conf": "/usr/share/libc-bin/nsswitch.conf",
    "/etc/inputrc": "/usr/share/readline/inputrc",
    "/root/.bashrc": "/usr/share/base-files/dot.bashrc",
    "/root/.profile": "/usr/share/base-files/dot.profile",
}
"""Files that a maintainer script copied from a packaged one."""

STUBS: Mapping[str, str] = {
    "/etc/apparmor.d/tunables/home.d/ubuntu": "/etc/apparmor.d/tunables/home",
    "/etc/apparmor.d/tunables/xdg-user-dirs.d/site.local": "/etc/apparmor.d/tunables/xdg-user-dirs",
}
"""Places for rules of the administrator that a package makes without any, and a file of that package."""

SKELETON = ("/.bashrc", "/.profile", "/.bash_logout")
"""What useradd copies into a home from /etc/skel."""

MODES: Mapping[str, Tuple[str, ...]] = {
    "/root": ("root:root 0700",),
    "/etc/credstore": ("root:root 0700",),
    "/etc/credstore.encrypted": ("root:root 0700",),
    "/etc/sudoers": ("root:root 0440",),
    "/etc/sudoers.d/README": ("root:root 0440",),
    "/etc/sudoers.d": ("root:root 0750",),
    "/etc/ssl/private": ("root:root 0700", "root:ssl-cert 0710"),
    "/etc/polkit-1/rules.d": ("root:polkitd 0750",),
    "/var/spool/cron/crontabs": ("root:crontab 1730",),
    "/var/spool/cron/atjobs": ("daemon:daemon 1770",),
    "/var/spool/cron/atspool": ("daemon:daemon 1770",),
    "/etc/at.deny": ("root:daemon 0640",),
}
"""What packages give another owner or mode than root:root and 0644 or 0755."""

_HASH_LINK = re.compile(r"/etc/ssl/certs/[0-9a-f]{8}\.\d+")
_RC_LINK = re.compile(r"/etc/rc[0-6S]\.d/[SK]\d\d(.+)")
_CERTIFICATES = "/usr/share/ca-certificates/"
_OWN_CERTIFICATES = "/usr/local/share/ca-certificates/"
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_PAM = "/etc/pam.d/common-"
_STATE = "/var/lib/systemd"
_MARKERS = {
    "/etc/systemd/system/": "deb-systemd-helper-enabled",
    "/etc/systemd/user/": "deb-systemd-user-helper-enabled",
}
_SHIPPED = {
    "/etc/systemd/system/": "/usr/lib/systemd/system/",
    "/etc/systemd/user/": "/usr/lib/systemd/user/",
}
_WRITABLE = 0o022
_READABLE_BY_OTHERS = 0o004


class Proofs:
    """What explains a path that no package ships; asked for many paths of one walk."""

    def __init__(self, machine: Machine, known: Dpkg, walk: Walk) -> None:
        """Read what the proofs need of other folders."""
        self._root, self._known, self._walk = machine.root, known, walk
        self._choices, self.alternative_links = alternatives(machine.dpkg / "alternatives")
        self._ucf = _ucf(machine.ucf)
        self._presets = _presets(self._root / "usr/lib/systemd/system-preset")
        self._trusted = frozenset(
            line
            for line in _lines(self._root / "etc/ca-certificates.conf")
            if line and not line.startswith(("#", "!"))
        )

    def explains(self, seen: Seen) -> bool:
        """Return whether something proves that a package's program made what stands there."""
        if seen.path in CHANGING:
            return is_safe(seen, secret="shadow" in seen.path)
        if seen.is_link:
            return self._explains_link(seen)
        return seen.is_file and is_safe(seen) and self._explains_file(seen)

    def _explains_link(self, seen: Seen) -> bool:
        path, target = seen.path, seen.target
        if path in LINKS:
            return any(fnmatch.fnmatchcase(target, allowed) for allowed in LINKS[path])
        if path.startswith("/etc/alternatives/"):
            return dpkg.merged(target) in self._choices.get(path.rpartition("/")[2], ())
        if path in self.alternative_links:
            return target == f"/etc/alternatives/{self.alternative_links[path]}"
        if path.startswith("/etc/ssl/certs/"):
            return self._is_certificate(path, target)
        rc = _RC_LINK.fullmatch(path)
        if rc:
            return target == f"../init.d/{rc[1]}" and f"/etc/init.d/{rc[1]}" in self._known.owners
        return self._is_enabled_by_package(path, target)

    def _is_certificate(self, path: str, target: str) -> bool:
        if _HASH_LINK.fullmatch(path):
            pointed = self._walk.seen.get(f"/etc/ssl/certs/{target}")
            return pointed is not None and (
                pointed.path == _BUNDLE
                or not pointed.is_link
                or self._is_certificate(pointed.path, pointed.target)
            )
        if target.startswith(_OWN_CERTIFICATES):  # that file is told by itself
            return target in self._walk.seen
        name = target[len(_CERTIFICATES) :]
        return target.startswith(_CERTIFICATES) and name in self._trusted and target in self._known.owners

    def _is_enabled_by_package(self, path: str, target: str) -> bool:
        """A unit's link: its package noted it, or systemd's own presets name it; its file is packaged."""
        for folder, markers in _MARKERS.items():
            if not path.startswith(folder):
                continue
            shipped = _SHIPPED[folder]
            place = dpkg.merged(posixpath.normpath(posixpath.join(posixpath.dirname(path), target)))
            if not place.startswith(shipped) or place not in self._known.owners:
                return False
            if (self._root / f"{_STATE}/{markers}/{path[len(folder) :]}".lstrip("/")).exists():
                return True
            return folder == "/etc/systemd/system/" and self._is_preset(place.rpartition("/")[2])
        return False

    def _is_preset(self, unit: str) -> bool:
        for verb, pattern in self._presets:
            if fnmatch.fnmatchcase(unit, pattern):
                return verb == "enable"
        return False

    def _explains_file(self, seen: Seen) -> bool:
        path = seen.path
        if path == _BUNDLE:
            return self._walk_data(path) == self._bundle()
        if path in self._ucf:
            return self._walk.digest(path, "md5") == self._ucf[path]
        if path.startswith(_PAM):
            return self._is_generated_pam(path.rpartition("/")[2])
        source = COPIES.get(path)
        if source is None and path.startswith("/etc/ufw/"):
            source = f"/usr/share/ufw/iptables/{path.rpartition('/')[2]}"
        if source is not None:
            return source in self._known.owners and self._is_copy(path, source)
        if path.startswith("/etc/apparmor.d/local/"):  # dh_apparmor(1)
            return self._is_stub(path, f"/etc/apparmor.d/{path.rpartition('/')[2]}")
        return path in STUBS and self._is_stub(path, STUBS[path])

    def _is_generated_pam(self, name: str) -> bool:
        template = f"/usr/share/pam/{name}"
        folder = "/usr/share/pam-configs"
        profiles = [
            f"{folder}/{each}"
            for each in self._walk.names(folder)
            if f"{folder}/{each}" in self._known.owners
        ]
        return template in self._known.owners and pam.is_generated(
            self._text(f"/etc/pam.d/{name}"), self._text(template), [self._text(path) for path in profiles]
        )

    def is_skeleton(self, path: str, home: str) -> bool:
        """Return whether a file in a home is as useradd copied it from /etc/skel."""
        source = f"/etc/skel{path[len(home) :]}"
        return path[len(home) :] in SKELETON and source in self._known.owners and self._is_copy(path, source)

    def _is_copy(self, path: str, source: str) -> bool:
        data = self._walk_data(source)
        return bool(data) and self._walk_data(path) == data

    def _is_stub(self, path: str, packaged: str) -> bool:
        lines = self._text(path).splitlines()
        return packaged in self._known.owners and not any(line.strip() and line[0] != "#" for line in lines)

    def _bundle(self) -> bytes:
        """All trusted certificates, in the order that update-ca-certificates(8) writes them."""
        order = [
            f"{_CERTIFICATES}{line}"
            for line in _lines(self._root / "etc/ca-certificates.conf")
            if line in self._trusted
        ]
        order += sorted(
            path for path in self._walk.seen if path.startswith(_OWN_CERTIFICATES) and path.endswith(".crt")
        )
        pieces = []
        for path in order:
            data = self._walk_data(path)
            pieces.append(data if data.endswith(b"\n") or not data else data + b"\n")
        return b"".join(pieces)

    def _text(self, path: str) -> str:
        return self._walk_data(path).decode("utf-8", "replace")

    def _walk_data(self, path: str) -> bytes:
        with contextlib.suppress(OSError):
            return self._walk.data(path)
        return b""


def is_safe(seen: Seen, *, secret: bool = False) -> bool:
    """Return whether root alone can write a file and, of a secret one, not everybody can read it."""
    mode, status = seen.mode, seen.status
    closed = not mode & (_WRITABLE | (_READABLE_BY_OTHERS if secret else 0))
    return seen.is_file and status.st_uid == 0 and closed and not mode & 0o7000 and not mode & 0o111


def alternatives(folder: Path) -> Tuple[Dict[str, Set[str]], Dict[str, str]]:
    """Return what may stand in /etc/alternatives, and the links that lead there, by path.

    One that an administrator chose may not: the choice itself is what has to be told. See the section "FILES"
    of update-alternatives(1).
    """
    choices: Dict[str, Set[str]] = {}
    links: Dict[str, str] = {}
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            lines = path.read_text("utf-8", "replace").split("\n")
            _alternative(path.name, lines, choices, links)
    return choices, links


def _alternative(name: str, lines: list[str], choices: Dict[str, Set[str]], links: Dict[str, str]) -> None:
    if len(lines) < 2:  # noqa: PLR2004 - status and link
        return
    names, at = [name], 2
    links[dpkg.merged(lines[1])] = name
    while at + 1 < len(lines) and lines[at]:
        names.append(lines[at])
        links[dpkg.merged(lines[at + 1])] = lines[at]
        at += 2
    at += 1
    is_automatic = lines[0] == "auto"
    while at < len(lines) and lines[at]:
        targets = [lines[at], *lines[at + 2 : at + 1 + len(names)]]
        for one, target in zip(names, targets):
            if target and (is_automatic or one != name):
                choices.setdefault(one, set()).add(dpkg.merged(target))
        at += 1 + len(names)


def _ucf(path: Path) -> Dict[str, str]:
    """Sums of files that ucf(1) put in place."""
    sums: Dict[str, str] = {}
    for line in _lines(path):
        digest, _, name = line.partition("  ")
        sums[name] = digest
    return sums


def _presets(folder: Path) -> Tuple[Tuple[str, str], ...]:
    """What systemd.preset(5) files of packages say, in order. A rule for everything proves nothing."""
    found = []
    with contextlib.suppress(OSError):
        for path in sorted(folder.glob("*.preset")):
            for line in _lines(path):
                words = line.split()
                if len(words) == 2 and words[0] in ("enable", "disable") and words[1] != "*":  # noqa: PLR2004
                    found.append((words[0], words[1]))
    return tuple(found)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
