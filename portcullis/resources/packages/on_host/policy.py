"""Keeping packages from starting their services unconfigured: while they are installed, and at boot."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk
from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from portcullis.agent.machine import Machine

MARK = "# portcullis: "
DISABLED = "disabled"
"""Note in a set's record: units that its installation disabled, so that the inventory knows who did."""

_TIMEOUT = 60.0
_UNITS = ("/lib/systemd/system", "/usr/lib/systemd/system")
# A timer stays: what it starts ends again (logrotate, certbot), and a host without those decays.
_SUFFIXES = (".service", ".socket", ".path")

# invoke-rc.d and deb-systemd-invoke ask /usr/sbin/policy-rc.d NAME ACTION; 101 forbids. The script looks
# whether we still live (by the start time, the 22nd word of /proc/PID/stat), so that one left behind by a
# crash forbids nothing.
_SCRIPT = """#!/bin/sh
{mark}nothing that was not running starts while packages are installed (process {pid})
if [ "$(sed 's/.*) //' /proc/{pid}/stat 2>/dev/null | cut -d' ' -f20)" = {started} ]; then
  case "$2" in
    *start*) systemctl is-active --quiet "$1" || exit 101 ;;
  esac
fi
[ ! -x {saved} ] || exec {saved} "$@"
exit 0
"""


@contextlib.contextmanager
def held_back(policy: Path) -> Iterator[None]:
    """While inside, nothing starts that was not running. The host's own policy is still asked."""
    saved = policy.with_name(policy.name + ".portcullis")
    recover(policy, saved)
    pid = os.getpid()
    script = _SCRIPT.format(mark=MARK, pid=pid, started=_start_time(pid), saved=saved)
    with contextlib.suppress(FileNotFoundError):
        os.link(policy, saved, follow_symlinks=False)  # and not a rename: there is no moment without a policy
    disk.write(policy, script.encode(), mode=0o755)
    try:
        yield
    finally:
        recover(policy, saved)


def recover(policy: Path, saved: Path) -> None:
    """Put the host's own policy back, also after a run that was killed."""
    if is_ours(policy):
        if saved.is_symlink() or saved.exists():
            saved.replace(policy)
        else:
            policy.unlink()
    elif saved.is_symlink() or saved.exists():
        if policy.is_symlink() or policy.exists():
            saved.unlink()  # killed before ours was there, or somebody wrote a newer one
        else:
            saved.replace(policy)


def is_ours(policy: Path) -> bool:
    """Whether `policy` is the script of a run of ours."""
    try:
        return not policy.is_symlink() and MARK.encode() in policy.read_bytes()[:200]
    except OSError:
        return False


def _start_time(pid: int) -> str:
    return (Path("/proc") / str(pid) / "stat").read_text("utf-8").rpartition(") ")[2].split(" ")[19]


def leave_stopped(machine: Machine, packages: Collection[str], declared: Collection[str]) -> list[str]:
    """Disable the units of `packages`, which were just installed, that would start at the next boot.

    Units of early boot (``DefaultDependencies=no``: apparmor, networking, firewalls) stay as their package
    wants them, and so do those that are `declared`. Returns the units that it disabled. Raises `AgentError`
    (``systemd``, ``unreadable``).
    """
    if not packages:
        return []
    units = sorted(_units_of(machine, packages) - set(declared))
    if not units:
        return []
    properties = "--property=Id,UnitFileState,DefaultDependencies"
    shown = machine.run(["systemctl", "show", "--no-pager", properties, "--", *units], timeout=_TIMEOUT)
    if shown.code:
        raise AgentError("unreadable", "systemd does not answer on the host", detail=shown.text)
    going = starting(shown.out)
    if going:
        done = machine.run(["systemctl", "--no-pager", "disable", *going], timeout=_TIMEOUT)
        if done.code:
            raise AgentError("systemd", f"{', '.join(going)} cannot be disabled", detail=done.text)
    return going


def forget_units(machine: Machine, packages: Collection[str]) -> None:
    """Have Debian forget which units of `packages` are enabled, before the packages are removed.

    deb-systemd-helper(1p) keeps its notes until the purge. Without this, the next installation would leave
    disabled what ours had disabled, and the inventory would take that for the work of a person.
    """
    units = _units_of(machine, packages) if packages else set()
    if units:
        # The helper works for a package's own script only.
        script = {"DPKG_MAINTSCRIPT_PACKAGE": min(packages)}
        machine.run(["deb-systemd-helper", "purge", *sorted(units)], timeout=_TIMEOUT, env=script)


def _units_of(machine: Machine, packages: Collection[str]) -> set[str]:
    return units_among(machine.run(["dpkg-query", "-L", *sorted(packages)], timeout=_TIMEOUT).out)


def units_among(listed: str) -> set[str]:
    """Units in the output of ``dpkg-query -L``; a template starts nothing by itself."""
    paths = [Path(line) for line in listed.splitlines() if line.endswith(_SUFFIXES)]
    return {path.name for path in paths if str(path.parent) in _UNITS and "@." not in path.name}


def starting(shown: str) -> list[str]:
    """Those of some units, as ``systemctl show`` has them, that start at boot and not early in it."""
    found = []
    for block in shown.strip().split("\n\n"):
        unit = dict(line.partition("=")[::2] for line in block.splitlines())
        if unit.get("UnitFileState") == "enabled" and unit.get("DefaultDependencies") == "yes":
            found.append(unit.get("Id", ""))
    return sorted(set(found) - {""})
