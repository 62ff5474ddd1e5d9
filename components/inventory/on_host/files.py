"""Reads undeclared files that no package shipped, and packaged files that were changed."""

from __future__ import annotations

import hashlib
import itertools
import os
import posixpath
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from portcullis.agent.quotes import unquoted
from portcullis.components.inventory.on_host import accounts, dpkg
from portcullis.components.inventory.on_host.explained import CHANGING, MODES, Proofs, restored
from portcullis.components.inventory.on_host.look import Entry, unreadable
from portcullis.components.inventory.on_host.tree_walk import (
    MOST,
    MOST_OF_A_USER,
    MOST_OF_USERS,
    Names,
    Walk,
    describe,
    home_folders,
    state,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portcullis.components.inventory.on_host.dpkg import Dpkg
    from portcullis.components.inventory.on_host.explained import Expected
    from portcullis.components.inventory.on_host.look import Fix, Fixes, Found, Look
    from portcullis.components.inventory.on_host.tree_walk import Seen

ROOTS = (
    "/etc",
    "/root",
    "/opt",
    "/usr/local",
    "/var/spool/cron",
    "/var/spool/at",
    "/usr/lib/systemd",
    "/usr/lib/udev",
    "/usr/lib/sysctl.d",
    "/usr/lib/modprobe.d",
    "/usr/lib/modules-load.d",
    "/usr/lib/tmpfiles.d",
    "/usr/lib/sysusers.d",
    "/usr/lib/environment.d",
    "/usr/lib/apt",
    "/run/systemd/system",
    "/run/systemd/user",
    "/run/systemd/system-generators",
    "/run/systemd/system-preset",
    "/run/udev/rules.d",
    "/run/sysctl.d",
    "/run/modprobe.d",
    "/run/modules-load.d",
    "/run/tmpfiles.d",
)
"""Folders that are read with all their files and folders."""
_BELOW_ROOTS = tuple(f"{root}/" for root in ROOTS)
PROGRAMS = ("/usr/bin", "/usr/sbin")
"""Folders in which the reader looks only at files that no package ships. The nightly walk reads packaged
files."""
STARTED = (
    ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile",
    ".pam_environment", ".zshrc",
    ".zshenv", ".zprofile", ".zlogin", ".zlogout", ".kshrc", ".cshrc", ".tcshrc", ".login",
    ".config/fish/config.fish", ".forward", ".rhosts", ".shosts", ".xprofile", ".vimrc", ".gitconfig",
)  # fmt: skip
"""Files in a home that programs run or read when somebody logs in."""
HOME_FOLDERS = (".ssh", ".config/systemd", ".config/environment.d", ".config/fish/conf.d", ".local/bin")
"""Folders in a home with files that run by themselves or let somebody log in."""
TRACES = (
    ".bash_history", ".zsh_history", ".lesshst", ".viminfo", ".python_history", ".wget-hsts",
    ".selected_editor", ".sudo_as_admin_successful", ".cache", ".ssh/known_hosts", ".ssh/known_hosts.old",
)  # fmt: skip
"""Files that a person's work leaves in a home. No program runs or loads these files."""
COMMON = tuple(
    f"/usr/local/{name}" for name in ("bin", "etc", "games", "include", "lib", "man", "sbin", "share", "src")
)
"""Folders that Debian makes and that no package owns: https://refspecs.linuxfoundation.org/FHS_3.0/, 4.9."""
_KNOWN = frozenset((*ROOTS, *COMMON))
GROUPED = 20
"""A folder with only undeclared files becomes one entry if it has more files than this number."""
_CERTIFICATES = "/usr/local/share/ca-certificates/"
_WRITABLE = 0o022
_OPEN = (
    "/etc/cron", "/etc/profile", "/etc/bash", "/etc/environment", "/etc/ld.so", "/etc/sudoers", "/etc/pam.d",
    "/etc/ssh/", "/etc/systemd/", "/etc/udev/", "/etc/apt/", "/etc/rc.local", "/etc/init.d", "/etc/nginx/",
    "/etc/hosts", "/etc/modules", "/etc/modprobe", "/etc/alternatives/", "/etc/shadow", "/etc/gshadow",
    "/var/spool/cron", "/var/spool/at", "/usr/local/", "/usr/bin/", "/usr/sbin/", "/usr/lib/",
    "/run/systemd/",
)  # fmt: skip
"""The beginnings of paths of files that run by themselves, redirect something or decide who may log in."""
_USUAL_FILE, _USUAL_FOLDER = ("root:root 0644", "root:root 0755"), ("root:root 0755",)
_SYSTEM = ("/usr/lib/", "/usr/share/", "/usr/bin/", "/usr/sbin/", "/etc/", "/run/", "/proc/", "/dev/null")


def read(look: Look) -> Found:
    """Return the undeclared and changed files outside of the homes of users."""
    return {"files": _Reader(look).entries()}


def read_homes(look: Look) -> Found:
    """Return the undeclared and changed files in the homes of users."""
    return {"files": _Reader(look).entries_of_homes()}


def is_in_home(look: Look, path: str) -> bool:
    """Return whether `read_homes` reads a path, and not `read`."""
    return any(path.startswith(f"{home}/") for home in _homes_apart(look))


def _homes_apart(look: Look) -> list[str]:
    """Return the homes of users outside of `ROOTS`."""
    homes = home_folders(look.machine.root).values()
    return [home for home in homes if not f"{home}/".startswith(_BELOW_ROOTS)]


class _Reader:
    """Reads folders of the inventory once."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._known: Dpkg = look.dpkg
        self._walk = Walk(look.machine.root)
        self._proofs = Proofs(look.machine, self._known, self._walk)
        self._scripts: list[str] | None = None
        self._strange: set[str] = set()
        self._tops: dict[str, str] = {}
        self._names = Names(look.machine.root)
        self._homes = {"root": "/root", **home_folders(look.machine.root)}
        self._passed_over = {f"{home}/{name}" for home in self._homes.values() for name in TRACES}
        self._passed_over |= accounts.key_files(look)  # the reader of accounts lists the keys in these files
        self._by_hand = {
            path: moved
            for path, (moved, package) in self._known.diversions.items()
            if package == dpkg.BY_HAND and not look.claims.has_path(path)
        }

    def entries(self) -> dict[str, Entry]:
        """Return the files outside of homes that no proof explains, by path."""
        self._see()
        found, familiar = self._unexplained()
        self._diverted(found)
        found.update(self._missing())
        return self._told(found, familiar)

    def entries_of_homes(self) -> dict[str, Entry]:
        """Return the files in homes that no proof explains, by path."""
        is_cut = self._see_homes()
        found = self._told(*self._unexplained())
        for home in is_cut:
            found[f"more files in {home}"] = Entry(f"more than {MOST_OF_A_USER} files: the rest is not read")
        return found

    def _unexplained(self) -> tuple[dict[str, Entry], set[str]]:
        """Return the entries of all paths of the walk, and the folders that contain a known file."""
        found: dict[str, Entry] = {}
        familiar: set[str] = set()
        for seen in list(self._walk.seen.values()):
            if seen.path in self._known.owners or self._look.claims.has_path(seen.path):
                _add_parents(familiar, seen.path)
                entry = self._of_package(seen)
            else:
                entry = self._of_undeclared(seen)
                if entry is None and not seen.is_folder:
                    _add_parents(familiar, seen.path)
            if entry is not None:
                found[seen.path] = entry
        return found, familiar

    def _told(self, found: dict[str, Entry], familiar: set[str]) -> dict[str, Entry]:
        """Return the entries of files or of their folders, and an entry for each cut of the walk."""
        found = {path: self._owned(path, entry) for path, entry in self._grouped(found, familiar).items()}
        for path, error in self._walk.failed.items():
            found[path] = self._owned(path, replace(unreadable(error), is_open=self._opens(path)))
        if self._walk.is_cut:
            found["more files"] = Entry(f"more than {MOST} files: the rest is not read")
        if self._walk.is_cut_for_users:
            found["more files of users"] = Entry(f"more than {MOST_OF_USERS} files: the rest is not read")
        return found

    def _owned(self, path: str, entry: Entry) -> Entry:
        """Return the entry with the account to which the path belongs, unless that is root."""
        seen = next(filter(None, map(self._walk.seen.get, itertools.chain([path], _parents(path)))), None)
        if seen is None or not seen.status.st_uid:
            return entry
        return replace(entry, owner=self._names.owner(seen.status).partition(":")[0])

    def _see(self) -> None:
        for top in ROOTS:
            self._walk.below(top, self._skips)
        for folder in PROGRAMS:
            for name in self._walk.names(folder):
                if f"{folder}/{name}" not in self._known.owners:
                    self._walk.look(f"{folder}/{name}")
        for path in self._by_hand:
            self._walk.look(path)

    def _see_homes(self) -> list[str]:
        """Read all homes, and return those with more files than are read."""
        is_cut = []
        for home in _homes_apart(self._look):
            self._walk.is_cut = False
            self._walk.most = len(self._walk.seen) + len(self._walk.failed) + MOST_OF_A_USER
            self._see_home(home)
            is_cut += [home] * self._walk.is_cut
        self._walk.is_cut = False
        return is_cut

    def _see_home(self, home: str) -> None:
        for name in (*STARTED, *HOME_FOLDERS):
            if self._is_behind_link(home, name):
                continue
            if name in STARTED:
                self._walk.look(f"{home}/{name}")
            else:
                self._walk.below(f"{home}/{name}", self._skips)

    def _is_behind_link(self, home: str, name: str) -> bool:
        """Return whether a folder of the path is a link, which the home's user can point at any folder."""
        folder = home
        for part in name.split("/")[:-1]:
            folder = f"{folder}/{part}"
            seen = self._walk.look(folder)
            if seen is not None and seen.is_link:
                return True
        return False

    def _skips(self, path: str) -> bool:
        return path in self._passed_over or path in self._look.claims.trees

    def _of_package(self, seen: Seen) -> Entry | None:
        """Return how a path of a distribution's package differs from the package, or None.

        Declared paths do not count, because resources read them back.
        """
        path = seen.path
        if self._look.claims.has_path(path):
            return None
        owner = self._known.owners[path]
        if path in self._known.conffiles and not seen.is_folder:
            shipped = self._known.conffiles[path]
            fix = ("extract", owner, path)
            if seen.is_link:
                return self._entry(seen, f"{owner} ships a file", fix)
            if shipped and self._walk.digest(path, "md5") != shipped and not self._is_ours(path):
                mark = self._walk.digest(path)
                return replace(self._entry(seen, f"not as {owner} ships it", fix), mark=mark)
        if self._is_usual(seen) or self._is_set_by_script(seen):
            return None
        if seen.is_link:
            return self._entry(seen, f"{owner} ships it otherwise", ("extract", owner, path))
        text, fixes = self._rights(seen)
        return self._entry(seen, text, *fixes)

    def _entry(self, seen: Seen, text: str, *fixes: Fix) -> Entry:
        """Build the entry of a path, whose text continues after its description."""
        return Entry(
            ", ".join(filter(None, (describe(seen, self._names), text))),
            changed=seen.status.st_ctime,
            is_open=self._opens(seen.path) or bool(not seen.is_link and seen.mode & _WRITABLE),
            fixes=fixes,
            state=state(seen, self._names),
        )

    def _opens(self, path: str) -> bool:
        """Return whether a file at a path runs by itself, or redirects something."""
        return path.startswith(_OPEN) or any(path.startswith(f"{home}/.") for home in self._homes.values())

    def _is_usual(self, seen: Seen) -> bool:
        """Return whether owner and mode follow Debian's rule: root:root, 0644 or 0755.

        A link has to lead to a folder that only root can write. This rule also holds for a path with an
        override of dpkg, because both packages and people set overrides.
        """
        path = seen.path
        if seen.is_link:
            target = dpkg.merged(posixpath.normpath(posixpath.join(posixpath.dirname(path), seen.target)))
            return f"{target}/".startswith(_SYSTEM) or target in self._known.owners
        rights = f"{self._names.owner(seen.status)} {seen.mode:04o}"
        if self._known.overrides.get(path, rights) != rights:
            return False
        return rights in MODES.get(path, _USUAL_FOLDER if seen.is_folder else _USUAL_FILE)

    def _is_set_by_script(self, seen: Seen) -> bool:
        """Return whether a package sets this owner and mode when it is installed (Debian Policy, 10.9).

        The package's script has to name path, mode and owner. The script of redis-tools does so: `Setup_dir
        /etc/redis 2770`.
        """
        if seen.is_link:
            return False
        owner = self._names.owner(seen.status)
        if self._known.overrides.get(seen.path, f"{owner} {seen.mode:04o}") != f"{owner} {seen.mode:04o}":
            return False
        words = [rf"(?<![\w/.-]){re.escape(seen.path)}(?![\w/.-])", rf"\b0*{seen.mode:o}\b"]
        words += [rf"\b{re.escape(name)}\b" for name in owner.split(":") if name != "root"]
        if self._scripts is None:
            self._scripts = dpkg.scripts(self._look.machine)
        return any(all(re.search(word, text) for word in words) for text in self._scripts)

    def _rights(self, seen: Seen) -> Expected:
        """Describe the owner and the mode that a path should have. A link has none."""
        path, usual = seen.path, self._proofs.rights(seen)
        override = self._known.overrides.get(path)
        if override == f"{self._names.owner(seen.status)} {seen.mode:04o}":
            fixes: Fixes = (("remove-override", path), restored(usual, path))
            text = f"by an override of dpkg, Debian's is {usual}"
        else:
            text = f"an override of dpkg says {override}" if override else f"Debian's is {usual}"
            fixes = (restored(override or usual, path),)
        return text, () if seen.is_link else fixes

    def _of_undeclared(self, seen: Seen) -> Entry | None:
        """Return the entry of a path without a package. Explained files and all folders have no entry."""
        path = seen.path
        if seen.is_folder or self._proofs.explains(seen) or self._is_claimed_link(seen):
            return None
        is_usual, is_ours = self._is_usual(seen), self._is_ours(path)
        if is_usual and seen.is_file and path in CHANGING:
            return None  # a file of at(1), which belongs to another account
        owner = self._known.obsolete.get(path)
        if is_usual and (is_ours or owner):
            return None
        fixes: Fixes = ()
        if owner or is_ours:
            rights, fixes = self._rights(seen)
            text = f"{owner} shipped it once, {rights}" if owner else rights
        elif self._is_claimed(path):
            text = "not as its resource left it"
        else:
            skeleton = self._skeleton(path)
            if skeleton and self._proofs.is_skeleton(path, skeleton):
                return None
            text, fixes = self._proofs.expected(seen)
            if not text and skeleton:
                text, fixes = f"not as {skeleton} has it", (("copy", skeleton, path),)
            elif not text:
                fixes = (("remove-certificate" if path.startswith(_CERTIFICATES) else "remove-file", path),)
        self._strange.add(path)
        return self._entry(seen, text, *fixes)

    def _skeleton(self, path: str) -> str:
        """Return the file of /etc/skel that useradd copied to a path; "" for other paths."""
        homes = (home for home in self._homes.values() if path.startswith(f"{home}/"))
        return next(filter(None, (self._proofs.skeleton(path, home) for home in homes)), "")

    def _is_claimed(self, path: str) -> bool:
        return any(path == claimed for claimed, _ in self._look.claims.contents)

    def _is_ours(self, path: str) -> bool:
        """Return whether a file is unchanged since a resource edited some of its lines."""
        return self._is_claimed(path) and (path, self._walk.digest(path)) in self._look.claims.contents

    def _is_claimed_link(self, seen: Seen) -> bool:
        """Return whether a link enables a declared unit."""
        folder = posixpath.dirname(seen.path)
        return (
            seen.is_link
            and folder.endswith((".wants", ".requires", "/etc/systemd/system"))
            and seen.target.rpartition("/")[2] in self._look.claims.units
        )

    def _diverted(self, found: dict[str, Entry]) -> None:
        """Add paths that a person diverted, because the package's file is then at another path."""
        for path, moved in self._by_hand.items():
            here = found.get(path)
            told = [here.text] if here else []
            told.append(f"diverted by hand to {moved}")
            fixes: Fixes = (("remove-diversion", path),)
            if here:
                fixes = (("remove-file", path), *fixes)
            real = moved if str(self._look.machine.root) == "/" else f"{self._look.machine.root}{moved}"
            if not os.path.lexists(real):
                told.append("where nothing is")
                fixes = (("forget-diversion", path),)
            found[path] = Entry(
                ", ".join(told),
                changed=here.changed if here else None,
                is_open=here.is_open if here else self._opens(path),
                fixes=fixes,
            )

    def _missing(self) -> dict[str, Entry]:
        """Return missing configuration files, and missing files that programs of packages made.

        If a file was already missing before the first `up`, the baseline has this entry too.
        """
        found = {
            path: Entry(f"is missing, {text}", fixes=fixes)
            for path, (text, fixes) in self._proofs.missing().items()
            if not self._look.claims.has_path(path) and path not in self._by_hand.values()
        }
        for path in self._known.conffiles:
            if path in self._walk.seen or not path.startswith(_BELOW_ROOTS):
                continue
            if not self._look.claims.has_path(path):
                if path in self._passed_over or path in self._by_hand.values():
                    continue
                owner = self._known.owners.get(path)
                fixes = (("reinstall", owner),) if owner else ()
                found[path] = Entry(f"is missing, {owner or 'a package'} ships it", fixes=fixes)
        return found

    def _grouped(self, found: Mapping[str, Entry], familiar: set[str]) -> dict[str, Entry]:
        """If a folder has many entries and no known file, replace the entries by one entry for the folder."""
        told: dict[str, Entry] = {}
        inside: dict[str, list[str]] = {}
        for path in found:
            top = self._strange_top(path, familiar)
            inside.setdefault(top or path, []).append(path)
        for top, paths in inside.items():
            if len(paths) <= GROUPED:
                told.update({path: self._marked(path, found[path]) for path in paths})
                continue
            # Digest the names and times, because there may be thousands of files. Nobody can set a ctime
            # back. Older versions recorded the texts without quotes.
            marks = "\n".join(
                f"{path} {unquoted(found[path].text)} {self._times(path)}" for path in sorted(paths)
            )
            digest = hashlib.sha256(marks.encode("utf-8", "surrogateescape")).hexdigest()
            changed = max(found[path].changed or 0 for path in paths)
            folder = self._walk.seen[top]
            text = describe(folder, self._names)
            told[top] = Entry(
                f"{text} with {len(paths)} files",
                digest,
                changed,
                folder=text,
                is_open=self._opens(top) or bool(folder.mode & _WRITABLE),
                fixes=(("remove-folder", top),),
            )
        return told

    def _marked(self, path: str, entry: Entry) -> Entry:
        """Add a digest of the content to the entry of a file that no package ships."""
        return replace(entry, mark=self._walk.digest(path)) if path in self._strange else entry

    def _times(self, path: str) -> str:
        seen = self._walk.seen.get(path)
        return f"{seen.status.st_size} {seen.status.st_mtime_ns} {seen.status.st_ctime_ns}" if seen else ""

    def _strange_top(self, path: str, familiar: set[str]) -> str:
        """Return the highest folder above a path that contains no known file; "" if every folder has one.

        A user may make folders 2,000 levels deep, so the answer for each folder is kept.
        """
        top, below = "", []
        for folder in _parents(path):
            if folder in self._tops:
                top = self._tops[folder] or top
                break
            if self._is_familiar(folder, familiar):
                break
            top = folder
            below.append(folder)
        self._tops.update(dict.fromkeys(below, top))
        return top

    def _is_familiar(self, folder: str, familiar: set[str]) -> bool:
        if folder in familiar or folder in _KNOWN or self._walk.seen.get(folder) is None:
            return True
        return folder in self._known.owners or self._look.claims.has_path(folder)


def _add_parents(familiar: set[str], path: str) -> None:
    """Add the folders above a path. Stop at a known folder, because the folders above it are known too."""
    for folder in _parents(path):
        if folder in familiar:
            return
        familiar.add(folder)


def _parents(path: str) -> Iterator[str]:
    """Yield the folders above a path, the nearest first."""
    while path := path.rpartition("/")[0]:
        yield path
