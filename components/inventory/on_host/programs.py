"""Reads the result of the nightly walk: programs with special rights, and changed files of packages."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portcullis.agent import disk, safe_paths
from portcullis.agent.first_change import make_folder
from portcullis.agent.first_change import path as baseline_path
from portcullis.components.inventory.on_host import walk
from portcullis.components.inventory.on_host.look import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.agent.machine import Machine
    from portcullis.components.inventory.on_host.look import Fixes, Found, Look

OLDEST = 48 * 3600.0
"""The age in seconds after which a result is too old. The walk runs every night."""
LARGEST = 1 << 20
"""The content of a larger program is not compared."""
WALK = "nightly walk"
"""The key of the entry about the nightly walk itself."""


def path(machine: Machine) -> Path:
    """Return the file that the walk writes."""
    return baseline_path(machine).with_name("walk.json")


def walk_now(machine: Machine) -> None:
    """Run the walk now, as the timer does every night. Raises `AgentError`."""
    make_folder(machine)
    found = walk.walk(str(machine.root), str(machine.dpkg))
    disk.write(path(machine), json.dumps(found).encode("utf-8", "surrogateescape"))


def result(machine: Machine) -> dict[str, Any]:
    """Return the result of the walk, or nothing if it never ran or its result is invalid."""
    try:
        found = json.loads(path(machine).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read(look: Look) -> Found:
    """Return the findings of the walk that are still true, and an entry if the last walk was too long ago."""
    told = result(look.machine)
    found: dict[str, Entry] = {}
    programs, packages = told.get("programs"), told.get("packages")
    packages = packages if isinstance(packages, dict) else {}
    for each, text in programs.items() if isinstance(programs, dict) else ():
        package = str(packages.get(each, ""))
        entry = None if look.claims.has_path(each) else _entry(look.machine, each, str(text), package)
        if entry is not None:
            found[each] = entry
    left = told.get("left")
    for owner, number in left.items() if isinstance(left, dict) else ():
        found[f"{WALK}, {owner}"] = Entry(f"found {number} more programs or folders, which it leaves out")
    age = how_old(told.get("time"), time.time())
    if age and baseline_path(look.machine).exists():
        found[WALK] = Entry(age, fixes=(("walk",),))
    return {"programs": found}


def how_old(then: object, now: float) -> str:
    """Return the fault of a result that is too old; "" for a newer result."""
    if not isinstance(then, (int, float)):
        return "never ran: see systemctl status portcullis-inventory.timer"
    days = int((now - then) // 86400)
    if now - then <= OLDEST:
        return ""
    return f"last ran {days} days ago: see journalctl -u portcullis-inventory.service"


def _entry(machine: Machine, each: str, text: str, package: str) -> Entry | None:
    """Return the present entry of a finding, or None if the fault has been corrected since the walk."""
    real = each if str(machine.root) == "/" else f"{machine.root}{each}"
    is_gone = text.startswith(walk.GONE)
    restores: Fixes = (("reinstall", package),) if package else ()
    try:
        status = os.lstat(real)
    except OSError:
        return Entry(text, fixes=restores) if is_gone else None
    if is_gone:
        return None
    _, changed, by = text.rpartition(walk.CHANGED)
    # The content is compared again only in the next walk.
    content = [f"{changed}{by}"] * bool(changed)
    faults = walk.faults(real, each, status, is_packaged=walk.IN_NO_PACKAGE not in text)
    if not (faults or content):
        return None
    # The walk compares the content of any other program with its package.
    mark = _mark(real, status) if content or walk.IN_NO_PACKAGE in faults else ""
    fixes = (*restores, *[("walk",)] * bool(restores)) if content else _fixes(each, status, faults)
    if not faults:
        return Entry(content[0], mark, changed=status.st_ctime, is_open=True, fixes=fixes)
    names = walk.names(str(machine.root))
    told = walk.describe(status, [*faults, *content], names)
    owner = names[0].get(str(status.st_uid), str(status.st_uid)) if status.st_uid else ""
    return Entry(told, mark, changed=status.st_ctime, is_open=True, fixes=fixes, owner=owner)


def _mark(real: str, status: os.stat_result) -> str:
    """Return a digest of a program's content; of a large file or a user's file, the size and the times.

    Nobody but root can set a ctime back.
    """
    told = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
    if status.st_uid or status.st_size > LARGEST:
        return told
    with contextlib.suppress(OSError):
        fd = safe_paths.open_behind_links(Path(real))
        if fd is not None:
            with os.fdopen(fd, "rb") as file:
                # The owner of a folder above the file may have replaced the folder.
                if os.path.samestat(os.fstat(fd), status):
                    return hashlib.sha256(file.read(LARGEST)).hexdigest()
    return told


def _fixes(path: str, status: os.stat_result, faults: Sequence[str]) -> Fixes:
    """Return the fixes of a program whose content is unchanged."""
    if walk.IN_NO_PACKAGE in faults:
        return (("remove-file", path),)
    fixes = []
    if walk.OPEN in faults:
        # chown(1) would remove the setuid bit.
        fixes.append(("close" if status.st_uid == 0 else "own", path))
    if any(walk.SETS in fault for fault in faults):
        fixes.append(("no-setuid", path))
    if any(walk.CAN in fault for fault in faults):
        fixes.append(("no-capabilities", path))
    return tuple(fixes)
