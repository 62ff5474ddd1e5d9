"""Find, read and write the files in which sshd looks for a user's keys.

We write these files as root, but the user owns their folder and could replace the folder with a link. So we
open one folder after the other and follow no link. We never give the user a file or folder that belongs to
somebody else.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths, safe_paths
from portcullis.agent.errors import AgentError
from portcullis.components.users.on_host import authorized_keys

if TYPE_CHECKING:
    from portcullis.agent.machine import Machine
    from portcullis.agent.safe_paths import FolderEntry
    from portcullis.components.users.on_host.accounts import Account

_TIMEOUT = 30.0
_DEFAULT = ".ssh/authorized_keys .ssh/authorized_keys2"  # sshd_config(5), AuthorizedKeysFile
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class State:
    """The files with keys on the host.

    Attributes:
        paths: the files that sshd reads. We write the first file.
        texts: the content of each existing file, by path.
        fault: why other users can read or write the files or their folders; "" if they cannot. `write`
            corrects this fault.
        obstacle: a fault that a person must correct first; "" if there is none.
        keepable: the files of `paths` that the agent can save and restore.
    """

    paths: tuple[Path, ...]
    texts: dict[str, str]
    fault: str
    obstacle: str
    keepable: tuple[Path, ...]

    @property
    def first(self) -> str:
        """The path of the file that we write."""
        return str(self.paths[0]) if self.paths else ""


def locations(machine: Machine, user: str, uid: int, home: Path) -> list[Path]:
    """The files in which sshd looks for a user's keys, as sshd's configuration names them.

    Without sshd, these are the two default files.
    """
    where = f"user={user},host=localhost,addr=127.0.0.1"
    try:
        done = machine.run(["sshd", "-T", "-C", where], timeout=_TIMEOUT)
    except AgentError:
        said = None
    else:
        said = re.search(r"^authorizedkeysfile (.+)$", done.out, re.MULTILINE) if not done.code else None
    tokens = {"%": "%", "h": str(home), "u": user, "U": str(uid)}
    found = []
    for word in (said.group(1) if said else _DEFAULT).split():
        if word == "none":
            continue
        path = re.sub("%([%huU])", lambda match: tokens[match.group(1)], word)
        found.append(Path(os.path.normpath(path if path.startswith("/") else home / path)))
    return list(dict.fromkeys(found))


def look(account: Account, files: list[Path]) -> State:
    """Read the files and check their folders. Raises `AgentError` (``unreadable``)."""
    faults: list[str] = []
    obstacles: list[str] = []
    _look_home(account, faults, obstacles)
    texts: dict[str, str] = {}
    keepable = []
    for path in files:
        if not _look_folders(account, path, faults, obstacles):
            continue
        keepable.append(path)
        with disk.reading(path) as place:
            text = _look_file(account, place, faults)
        if text is not None:
            texts[str(path)] = text
    if not files:
        obstacles.append("sshd's AuthorizedKeysFile is none, so sshd reads no keys")
    fault, obstacle = ("; ".join(dict.fromkeys(words)) for words in (faults, obstacles))
    return State(tuple(files), texts, fault, obstacle, tuple(keepable))


def _look_home(account: Account, faults: list[str], obstacles: list[str]) -> None:
    home = account.home
    with disk.reading(home) as place:
        status = place.look()
        what = paths.named(place, status) if status else ""
    if len(home.parts) < 2:  # noqa: PLR2004 - the root of the file system
        obstacles.append(f"{account.name} has no home")
    elif status is None:
        return
    elif not stat.S_ISDIR(status.st_mode):
        obstacles.append(f"the home {home} is {what}")
    elif status.st_uid not in (account.uid, 0):
        owner = paths.user_name(status.st_uid)
        obstacles.append(f"the home {home} belongs to {owner}, not to {account.name}")
    elif status.st_mode & _OTHERS_WRITE:
        # With StrictModes sshd refuses every key of such an account.
        faults.append(f"{home} has mode {paths.mode_text(status.st_mode)}, so other users can write to it")


def _look_folders(account: Account, path: Path, faults: list[str], obstacles: list[str]) -> bool:
    """Return whether each folder between the home and the file is a real folder, or does not exist yet."""
    for folder in _below_home(account, path):
        with disk.reading(folder) as place:
            status = place.look()
        if status is None:
            return True
        if stat.S_ISLNK(status.st_mode):
            faults.append(f"{folder} is a symbolic link")
            return False
        if not stat.S_ISDIR(status.st_mode):
            obstacles.append(f"{folder} is {paths.type_name(status)}, but must be a folder")
            return False
        if status.st_uid != account.uid:
            owner = paths.user_name(status.st_uid)
            obstacles.append(f"{folder} belongs to {owner}, not to {account.name}: give it to {account.name}")
        elif status.st_mode & _OTHERS:
            faults.append(f"{folder} has mode {paths.mode_text(status.st_mode)}")
    return True


def _look_file(account: Account, place: FolderEntry, faults: list[str]) -> str | None:
    status = place.look()
    if status is None:
        return None
    if not stat.S_ISREG(status.st_mode):
        faults.append(f"{place.path} is {paths.named(place, status)}")
        return None
    try:
        fd = place.open()
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(fd)  # the status of the opened file: the path may have changed
        data = os.pread(fd, authorized_keys.LIMIT + 1, 0)
    finally:
        os.close(fd)
    at_home = account.home in place.path.parents
    if status.st_uid != account.uid and (at_home or status.st_uid != 0):
        faults.append(f"{place.path} belongs to {paths.user_name(status.st_uid)}")
    elif status.st_mode & (_OTHERS if at_home else _OTHERS_WRITE):
        faults.append(f"{place.path} has mode {paths.mode_text(status.st_mode)}")
    if len(data) > authorized_keys.LIMIT:
        faults.append(f"{place.path} has over {authorized_keys.LIMIT} bytes")
    return data.decode("utf-8", "replace")


def write(account: Account, state: State, text: str) -> None:
    """Write the keys to the first file and remove the other files. Only the user may use the folders.

    Raises `AgentError`.
    """
    first, others = state.paths[0], state.paths[1:]
    _own_home(account)
    for path in others:
        folders = _below_home(account, path)
        if all(_is_folder(folder) for folder in folders):
            paths.remove_file(path)
    for folder in _below_home(account, first):
        _own(account, folder)
    data = text.encode("utf-8", "surrogateescape")
    if account.home in first.parents:
        disk.write(first, data, mode=0o600, uid=account.uid, gid=account.gid)
        return
    with disk.writing(first, make=True):
        pass
    disk.write(first, data, mode=0o644)  # sshd reads the file as the user


def put_back(account: Account, path: Path, kept: dict[str, object], copy: Path) -> None:
    """Restore a file, unless the user has replaced its folder with something else."""
    folders = _below_home(account, path)
    if all(_is_folder(folder) for folder in folders):
        paths.put_back(path, kept, copy)


def _below_home(account: Account, path: Path) -> list[Path]:
    return [folder for folder in reversed(path.parents) if account.home in folder.parents]


def _is_folder(path: Path) -> bool:
    with disk.reading(path) as place:
        status = place.look()
    return status is not None and stat.S_ISDIR(status.st_mode)


def _own_home(account: Account) -> None:
    with disk.writing(account.home) as place:
        if place.look() is None:
            fd = safe_paths.make_folder(place.folder, place.name, account.home)
            try:
                disk.give(fd, account.uid, account.gid, 0o700)
            finally:
                os.close(fd)
            return
        with safe_paths.below(place.folder, place.name) as fd:
            status = os.fstat(fd)
            if status.st_uid == account.uid and status.st_mode & _OTHERS_WRITE:
                os.fchmod(fd, stat.S_IMODE(status.st_mode) & ~_OTHERS_WRITE)


def _own(account: Account, folder: Path) -> None:
    """Make a folder that only the user may use. A link in its place is removed, but not the link's target."""
    with disk.writing(folder) as place:
        status = place.look()
        if status is not None and stat.S_ISLNK(status.st_mode):
            os.unlink(place.name, dir_fd=place.folder)
            status = None
        if status is None:
            fd = safe_paths.make_folder(place.folder, place.name, folder)
        else:
            fd = os.open(place.name, safe_paths.FOLDER, dir_fd=place.folder)
        try:
            # Accept only the user's own folder, or the one that we made just now: the user may have moved
            # another user's folder here.
            if status is not None and os.fstat(fd).st_uid != account.uid:
                raise AgentError(
                    "invalid",
                    f"the folder {folder} belongs to {paths.user_name(os.fstat(fd).st_uid)}, not to "
                    f"{account.name}",
                    prop="keys",
                    hint=f"find out which program on the host changes {folder}, then run `up` again",
                )
            disk.give(fd, account.uid, account.gid, 0o700)
        finally:
            os.close(fd)
