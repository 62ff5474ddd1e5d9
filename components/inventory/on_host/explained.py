"""Explains files that no package ships: a package's program made the file, or a list names the file.

On a plain Debian, 576 entries of /etc and similar folders belong to no package. Programs of packages made
nearly all of these entries. Such a program leaves records, which prove that it made an entry.
"""

from __future__ import annotations

import contextlib
import fnmatch
import posixpath
import re
from typing import TYPE_CHECKING

from portcullis.components.inventory.on_host import alternatives, dpkg, pam
from portcullis.components.inventory.on_host.look import Fix, Fixes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from portcullis.components.inventory.on_host.dpkg import Dpkg
    from portcullis.components.inventory.on_host.tree_walk import Seen, Walk

CHANGING: Mapping[str, str] = {
    "/etc/passwd": "the reader of accounts reads accounts",
    "/etc/group": "the reader of accounts reads groups",
    "/etc/shadow": "the reader of accounts reads passwords",
    "/etc/gshadow": "the reader of accounts reads groups",
    "/etc/subuid": "useradd gives each account a range: subuid(5)",
    "/etc/subgid": "useradd gives each account a range: subgid(5)",
    "/etc/passwd-": "a copy that useradd makes",
    "/etc/group-": "a copy that useradd makes",
    "/etc/shadow-": "a copy that useradd makes",
    "/etc/gshadow-": "a copy that useradd makes",
    "/etc/subuid-": "a copy that useradd makes",
    "/etc/subgid-": "a copy that useradd makes",
    "/etc/.pwd.lock": "a lock for changes of passwd: lckpwdf(3)",
    "/etc/security/opasswd": "old passwords: pam_pwhistory(8)",
    "/etc/ld.so.cache": "ldconfig makes it from the installed libraries",
    "/etc/machine-id": "systemd makes it at the first boot: machine-id(5)",
    "/etc/adjtime": "how far the clock is off: hwclock(8)",
    "/etc/.updated": "systemd records when /etc was made: systemd-update-done.service(8)",
    "/etc/ca-certificates.conf": "the package ca-certificates writes it; each certificate is checked",
    "/etc/ca-certificates.conf.dpkg-old": "an upgrade of the package keeps the former file; nothing reads it",
    "/etc/python3/debian_config": "the package python3 makes it",
    "/etc/docker/key.json": "older versions of Docker keep their own key in it",
    "/etc/shells": "packages add their shells: update-shells(8)",
    "/var/spool/cron/atjobs/.SEQ": "the number of at's next job",
}
"""Files whose content changes by itself, or that another reader reports, each with the reason.

Only root may write them, except as `MODES` says.
"""

LINKS: Mapping[str, tuple[str, ...]] = {
    "/etc/mtab": ("../proc/self/mounts", "/proc/self/mounts", "/proc/mounts"),
    "/etc/vconsole.conf": ("default/keyboard",),
    "/etc/default/locale": ("../locale.conf",),
    "/etc/dpkg/origins/default": ("debian", "ubuntu"),
    "/etc/nginx/sites-enabled/default": ("/etc/nginx/sites-available/default",),
    "/etc/runit/runsvdir/default/ssh": ("/etc/sv/ssh",),
    "/usr/local/man": ("share/man",),
    "/var/spool/mail": ("../mail",),
}
"""Links that maintainer scripts make, each with its allowed targets."""

COPIES: Mapping[str, str] = {
    "/etc/profile": "/usr/share/base-files/profile",
    "/etc/motd": "/usr/share/base-files/motd",
    "/etc/nsswitch.conf": "/usr/share/libc-bin/nsswitch.conf",
    "/etc/inputrc": "/usr/share/readline/inputrc",
    "/root/.bashrc": "/usr/share/base-files/dot.bashrc",
    "/root/.profile": "/usr/share/base-files/dot.profile",
}
"""Files that a maintainer script copied, each with the packaged file that it is a copy of."""

UPGRADED: Mapping[str, str] = {
    # The file comes from base-files of Debian 12 and earlier, and an upgrade keeps it. New machines of Debian
    # 13 have another file.
    "/root/.bashrc": "373b7d3b2ab90d75daf94ca16d61339d088c12020ad43b65d1b34ea80b0c0818",
    # An upgrade from Debian 12 writes this file (systemd's postinst), so that /tmp is emptied as before.
    "/etc/tmpfiles.d/tmp.conf": "2888a2ab911ec6c5983a44f9b8d9f1abcfc40f134b1721a268a80cc77e4caae6",
}
"""Files of a machine that was upgraded from an earlier release, each with its SHA-256 digest."""

MAKERS: Mapping[str, tuple[str, str]] = {
    "/etc/gshadow": ("passwd", "passwd"),
    "/etc/shells": ("debianutils", "debianutils"),
    "/etc/ld.so.cache": ("libc-bin", "ldconfig"),
    "/etc/ca-certificates.conf": ("ca-certificates", "ca-certificates"),
    "/etc/ssl/certs/ca-certificates.crt": ("ca-certificates", "update-ca-certificates"),
}
"""Files that always exist while a package is installed, each with the package and the program that makes it.

`passwd`, `shadow` and PAM's common files are not listed: without them nobody can log in, not even the agent.
"""

STUBS: Mapping[str, str] = {
    "/etc/apparmor.d/tunables/home.d/ubuntu": "/etc/apparmor.d/tunables/home",
    "/etc/apparmor.d/tunables/xdg-user-dirs.d/site.local": "/etc/apparmor.d/tunables/xdg-user-dirs",
    "/etc/modules": "/usr/bin/kmod",
}
"""Files without rules that a package makes for the administrator, each with a file of that package."""

SKELETON = ("/.bashrc", "/.profile", "/.bash_logout")
"""Files that useradd copies from /etc/skel into a home."""

MODES: Mapping[str, tuple[str, ...]] = {
    "/root": ("root:root 0700",),
    "/etc/credstore": ("root:root 0700",),
    "/etc/credstore.encrypted": ("root:root 0700",),
    "/etc/sudoers": ("root:root 0440",),
    "/etc/sudoers.d/README": ("root:root 0440",),
    "/etc/sudoers.d": ("root:root 0750", "root:root 0755"),
    "/etc/ssl/private": ("root:root 0700", "root:ssl-cert 0710"),
    "/etc/polkit-1/rules.d": ("root:polkitd 0750", "polkitd:root 0700"),
    "/var/spool/cron/crontabs": ("root:crontab 1730",),
    "/var/spool/cron/atjobs": ("daemon:daemon 1770",),
    "/var/spool/cron/atjobs/.SEQ": ("daemon:daemon 0600",),
    "/var/spool/cron/atspool": ("daemon:daemon 1770",),
    "/etc/at.deny": ("root:daemon 0640",),
    "/etc/shadow": ("root:shadow 0640",),
    "/etc/gshadow": ("root:shadow 0640",),
    "/etc/shadow-": ("root:shadow 0640",),
    "/etc/gshadow-": ("root:shadow 0640",),
    "/etc/.pwd.lock": ("root:root 0600",),
    "/etc/security/opasswd": ("root:root 0600",),
}
"""Paths with another owner or mode than root:root and 0644 or 0755. The first value is the usual one."""

_CHOSEN = f"{alternatives.FOLDER}/"
_HASH_LINK = re.compile(r"/etc/ssl/certs/[0-9a-f]{8}\.\d+")
_SKEL = "/etc/skel"
_RC_LINK = re.compile(r"/etc/rc[0-6S]\.d/[SK]\d\d(.+)")
_CERTIFICATES = "/usr/share/ca-certificates/"
_OWN_CERTIFICATES = "/usr/local/share/ca-certificates/"
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_PAM = "/etc/pam.d/common-"
_PROGRAM = (b"#!", b"\x7fELF")
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
_BY_MAKER: Mapping[str, Fixes] = {
    "ldconfig": (("ldconfig",),),
    "update-ca-certificates": (("certificates",),),
}
"""The fixes that let a program make its file again."""

Expected = tuple[str, Fixes]
"""What should be at a path, in words, and the fixes that restore it."""


class Proofs:
    """Explains the paths of one walk that no package ships."""

    def __init__(self, machine: Machine, known: Dpkg, walk: Walk) -> None:
        """Read the records that the proofs need."""
        self._root, self._known, self._walk = machine.root, known, walk
        self._links = {
            dpkg.merged(link): name
            for each in set(known.alternatives.values())
            for link, name in each.links.items()
        }
        self._ucf = _ucf(machine.ucf)
        self._ucf_packages = _ucf_packages(machine.ucf.with_name("registry"))
        self._made = {_BUNDLE, *CHANGING, *self._ucf}
        self._presets = _presets(self._root / "usr/lib/systemd/system-preset")
        self._trusted = frozenset(
            line
            for line in _lines(self._root / "etc/ca-certificates.conf")
            if line and not line.startswith(("#", "!"))
        )

    def explains(self, seen: Seen) -> bool:
        """Return whether a record proves that a package's program made the file at a path."""
        if seen.path in CHANGING:
            return is_safe(seen, secret="shadow" in seen.path)
        if seen.is_link:
            return self._explains_link(seen)
        if not seen.is_file or not is_safe(seen):
            return False
        return self._is_of_release_before(seen.path) or self._explains_file(seen)

    def _explains_link(self, seen: Seen) -> bool:
        path, target = seen.path, seen.target
        if path in LINKS:
            return any(fnmatch.fnmatchcase(target, allowed) for allowed in LINKS[path])
        if path.startswith(_CHOSEN):
            return self._is_choice(path[len(_CHOSEN) :], target)
        if path in self._links:
            return target == f"{_CHOSEN}{self._links[path]}"
        if path.startswith("/etc/ssl/certs/"):
            return self._is_certificate(path, target)
        rc = _RC_LINK.fullmatch(path)
        if rc:
            return target == f"../init.d/{rc[1]}" and f"/etc/init.d/{rc[1]}" in self._known.owners
        return self._is_enabled_by_package(path, target)

    def expected(self, seen: Seen) -> Expected:
        """Return the file that should be at an unexplained path, with no words if no file should be there.

        People restore such a file and do not remove it.
        """
        path = seen.path
        if path.startswith(_CHOSEN) and path[len(_CHOSEN) :] in self._known.alternatives:
            return self._wrong_choice(path[len(_CHOSEN) :], seen.target)
        leads = self._leads_to(seen)
        if leads:
            return f"Debian's leads to {leads}", (("link", leads, path),)
        if seen.is_link and path.startswith("/etc/ssl/certs/") and _HASH_LINK.fullmatch(path):
            return "not as update-ca-certificates makes it", (("certificates",),)
        text, fixes = self._wrong_content(seen)
        told = [text] if text else []
        if told or path in self._made or self._is_pam(path) or self._source(path):
            if not seen.is_file:
                told.append("Debian has a file there")
            elif not is_safe(seen, secret="shadow" in path):
                rights = self.rights(seen)
                told.append(f"Debian's is {rights}")
                fixes = (*fixes, restored(rights, path))
        return ", ".join(told), fixes

    def missing(self) -> dict[str, Expected]:
        """Return the missing files that a package or its program made.

        Each path has a text that says where the file came from, and the fixes that restore it.
        """
        made: dict[str, Expected] = {
            path: (f"a copy of {source}", (("copy-missing", source, path),))
            for path, source in COPIES.items()
            if self._source(path)
        }
        made.update(
            {
                path: (f"{maker} makes it", _BY_MAKER.get(maker, ()))
                for path, (name, maker) in MAKERS.items()
                if self._is_installed(name)
            }
        )
        for path, package in self._ucf_packages.items():
            if path in self._ucf and self._is_installed(package):
                made[path] = "its package put it there", (("copy-of-ucf", path),)
        made.update(self._links_of_choices())
        return {path: told for path, told in made.items() if self._walk.look(path) is None}

    def _links_of_choices(self) -> dict[str, Expected]:
        """Return both links of each name, if update-alternatives(1) chose by itself.

        update-alternatives makes no link to a missing target, such as a document that an image leaves out.
        """
        made: dict[str, Expected] = {}
        for one in set(self._known.alternatives.values()):
            for link, name in one.links.items() if one.is_automatic else ():
                targets = [dpkg.merged(target) for target in one.expected(name)]
                if any(target in self._known.owners and self._walk.look(target) for target in targets):
                    text = f"update-alternatives makes it for {one.name}"
                    for path in (dpkg.merged(link), f"{_CHOSEN}{name}"):
                        made[path] = text, (("choose", one.name),)
        return made

    def _is_installed(self, package: str) -> bool:
        known = self._known.packages.get(package)
        return known is not None and known.installed

    def _wrong_content(self, seen: Seen) -> Expected:
        """Describe how a file differs from the output of a package's program, with no words if unknown."""
        path = seen.path
        source, packaged = self._source(path), self._stub_of(path)
        if source and not self._is_copy(path, source) and not self._is_of_release_before(path):
            return f"not as {source} has it", (("copy", source, path),)
        if path == _BUNDLE and not self._explains_bundle():
            return "not as update-ca-certificates makes it", (("certificates",),)
        if path in self._ucf and self._walk.digest(path, "md5") != self._ucf[path]:
            return "not as its package put it there", (("copy-of-ucf", path),)
        if self._is_pam(path) and not self._is_generated_pam(path.rpartition("/")[2]):
            return "not as pam-auth-update makes it", (("pam", path),)
        if packaged in self._known.owners and not self._is_stub(path, packaged):
            # A shell would follow a link.
            return "Debian's has no rules", (("empty", path),) if seen.is_file else ()
        return "", ()

    def rights(self, seen: Seen) -> str:
        """Return the owner and the mode that a file or folder has on Debian, such as root:root 0644."""
        usual = MODES.get(seen.path)
        if usual is None:
            with contextlib.suppress(OSError):
                is_program = seen.is_file and self._walk.data(seen.path).startswith(_PROGRAM)
                usual = ("root:root 0755" if seen.is_folder or is_program else "root:root 0644",)
        return (usual or ("root:root 0644",))[0]

    def _leads_to(self, seen: Seen) -> str:
        """Return the target of Debian's link at a path, or "" if Debian needs no link at this path."""
        path = seen.path
        if path in self._links:
            return f"{_CHOSEN}{self._links[path]}"
        rc = _RC_LINK.fullmatch(path)
        if rc and f"/etc/init.d/{rc[1]}" in self._known.owners:
            return f"../init.d/{rc[1]}"
        return LINKS[path][0] if seen.is_link and path in LINKS else ""

    def _wrong_choice(self, name: str, target: str) -> Expected:
        one = self._known.alternatives[name]
        if any(target in targets.values() for _, targets in one.choices) and not self._known.has(target):
            # The choice of the main name has all other names of the alternative too.
            fixes = (("remove-choice", name, target),) if name == one.name else ()
            return f"a choice of {one.name} that no package has", fixes
        text = f"{'not a choice of' if one.is_automatic else 'chosen by hand for'} {one.name}"
        return text, (("choose", one.name),)

    def _is_choice(self, name: str, target: str) -> bool:
        """Return whether a link leads to the best choice of an alternative, and that choice is packaged.

        If somebody chose by hand, the main link counts as unexplained, so that the report names it.
        """
        one = self._known.alternatives.get(name)
        if one is None or (name == one.name and not one.is_automatic):
            return False
        return self._known.has(target) and dpkg.merged(target) in map(dpkg.merged, one.expected(name))

    def _is_certificate(self, path: str, target: str) -> bool:
        if _HASH_LINK.fullmatch(path):
            pointed = self._walk.seen.get(f"/etc/ssl/certs/{target}")
            return pointed is not None and (
                pointed.path == _BUNDLE
                or not pointed.is_link
                or self._is_certificate(pointed.path, pointed.target)
            )
        if target.startswith(_OWN_CERTIFICATES):  # the report names the certificate itself
            return target in self._walk.seen
        name = target[len(_CERTIFICATES) :]
        return target.startswith(_CERTIFICATES) and name in self._trusted and target in self._known.owners

    def _is_enabled_by_package(self, path: str, target: str) -> bool:
        """Return whether a package enabled a unit.

        The unit must be packaged, with a record or preset as proof.
        """
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
            return self._explains_bundle()
        if path in self._ucf:
            return self._walk.digest(path, "md5") == self._ucf[path]
        if path.startswith(_PAM):
            return self._is_generated_pam(path.rpartition("/")[2])
        source = self._source(path)
        if source:
            return self._is_copy(path, source)
        return self._is_stub(path, self._stub_of(path))

    def _is_of_release_before(self, path: str) -> bool:
        return path in UPGRADED and self._walk.digest(path) == UPGRADED[path]

    def _source(self, path: str) -> str:
        """Return the packaged file that a maintainer script copied to a path; "" if no script did."""
        source = COPIES.get(path, "")
        if path.startswith("/etc/ufw/"):
            source = f"/usr/share/ufw/iptables/{path.rpartition('/')[2]}"
        return source if source in self._known.owners else ""

    def _stub_of(self, path: str) -> str:
        """Return the packaged file that reads the administrator's rules from a path; "" if no file does."""
        if path.startswith("/etc/apparmor.d/local/"):  # dh_apparmor(1)
            return f"/etc/apparmor.d/{path.rpartition('/')[2]}"
        return STUBS.get(path, "")

    def _explains_bundle(self) -> bool:
        return self._walk_data(_BUNDLE) == self._bundle()

    def _is_pam(self, path: str) -> bool:
        """Return whether pam-auth-update(8) makes a file from a template."""
        return path.startswith(_PAM) and f"/usr/share/pam/{path.rpartition('/')[2]}" in self._known.owners

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

    def skeleton(self, path: str, home: str) -> str:
        """Return the packaged file in /etc/skel that useradd copies to this path of a home, else ""."""
        source = f"{_SKEL}{path[len(home) :]}"
        return source if path[len(home) :] in SKELETON and source in self._known.owners else ""

    def is_skeleton(self, path: str, source: str) -> bool:
        """Return whether a file in a home is an unchanged copy from /etc/skel."""
        # A changed skeleton has an entry of its own. A copy of the shipped skeleton needs no entry.
        shipped = self._known.conffiles.get(source)
        return self._is_copy(path, source) or bool(shipped and self._walk.digest(path, "md5") == shipped)

    def _is_copy(self, path: str, source: str) -> bool:
        data = self._walk_data(source)
        return bool(data) and self._walk_data(path) == data

    def _is_stub(self, path: str, packaged: str) -> bool:
        if packaged not in self._known.owners:
            return False
        return not any(line.strip() and line[0] != "#" for line in self._text(path).splitlines())

    def _bundle(self) -> bytes:
        """Return all trusted certificates, in the order in which update-ca-certificates(8) writes them."""
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


def restored(rights: str, path: str) -> Fix:
    """Return the fix that gives a path its owner and mode, such as root:root 0644."""
    owner, _, mode = rights.rpartition(" ")
    return "rights", owner, path, mode


def is_safe(seen: Seen, *, secret: bool = False) -> bool:
    """Return whether only root can write a file, and whether other users cannot read it if it is secret."""
    mode, status = seen.mode, seen.status
    closed = not mode & (_WRITABLE | (_READABLE_BY_OTHERS if secret else 0))
    return seen.is_file and status.st_uid == 0 and closed and not mode & 0o7000 and not mode & 0o111


def _ucf(path: Path) -> dict[str, str]:
    """Return the checksums of files that ucf(1) put in place."""
    sums: dict[str, str] = {}
    for line in _lines(path):
        digest, _, name = line.partition("  ")
        sums[name] = digest
    return sums


def _ucf_packages(path: Path) -> dict[str, str]:
    """Return the package of each file that ucf(1) put in place."""
    words = (line.split() for line in _lines(path))
    return {pair[1]: pair[0] for pair in words if len(pair) == 2}  # noqa: PLR2004 - a package and its file


def _presets(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return the rules of packages' systemd.preset(5) files, in order. A preset for all units is left out."""
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
