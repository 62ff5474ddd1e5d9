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
"""Note in a set's record: units that its installation left disabled, so that no person is suspected."""

_TIMEOUT = 60.0
_UNITS = ("/lib/systemd/system", "/usr/lib/systemd/system")
# A timer stays: what it starts ends again (logrotate, certbot), and a host without those decays.
_SUFFIXES = (".service", ".socket", ".path")

VARIABLE = "PORTCULLIS_INSTALLS"
"""Set for our runs of apt, whose maintainer scripts inherit it: the policy is about nobody else's."""

# invoke-rc.d and deb-systemd-invoke ask /usr/sbin/policy-rc.d NAME ACTION; 101 forbids. A run of apt outlives
# an agent that is killed, and still starts nothing. The script that is left then forbids nothing to others.
_SCRIPT = """#!/bin/sh
{mark}nothing that was not running starts while it installs packages
if [ "${variable}" ]; then
  case "$2" in
    *start*) systemctl is-active --quiet "$1" || exit 101 ;;
  esac
fi
[ ! -x {saved} ] || exec {saved} "$@"
exit 0
"""


@contextlib.contextmanager
def held_back(policy: Path) -> Iterator[None]:
    """While inside, our apt starts nothing that was not running. The host's own policy is still asked."""
    saved = policy.with_name(policy.name + ".portcullis")
    if not is_ours(policy):
        recover(policy, saved)
        with contextlib.suppress(FileNotFoundError):
            # And not a rename: there is no moment without a policy.
            os.link(policy, saved, follow_symlinks=False)
    # Over one that a killed agent left, whose apt may still run.
    disk.write(policy, _SCRIPT.format(mark=MARK, variable=VARIABLE, saved=saved).encode(), mode=0o755)
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


def not_early(machine: Machine, packages: Collection[str], declared: Collection[str]) -> dict[str, bool]:
    """Return the units of `packages`, which were just installed, and whether each starts at the next boot.

    Units of early boot (``DefaultDependencies=no``: apparmor, networking, firewalls) are not among them, and
    neither are those that are `declared`. Raises `AgentError` (``unreadable``).
    """
    units = sorted(_units_of(machine, packages) - set(declared)) if packages else []
    if not units:
        return {}
    properties = "--property=Id,UnitFileState,DefaultDependencies"
    shown = machine.run(["systemctl", "show", "--no-pager", properties, "--", *units], timeout=_TIMEOUT)
    if shown.code:
        raise AgentError("unreadable", "systemd does not answer on the host", detail=shown.text)
    return starting(shown.out)


def disable(machine: Machine, units: Collection[str]) -> None:
    """Let units not start at boot. Raises `AgentError` (``systemd``)."""
    if units:
        done = machine.run(["systemctl", "--no-pager", "disable", *units], timeout=_TIMEOUT)
        if done.code:
            raise AgentError("systemd", f"{', '.join(units)} cannot be disabled", detail=done.text)


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


def starting(shown: str) -> dict[str, bool]:
    """Whether units, as ``systemctl show`` has them, start at boot; those of early boot are left out."""
    found = {}
    for block in shown.strip().split("\n\n"):
        unit = dict(line.partition("=")[::2] for line in block.splitlines())
        if unit.get("Id") and unit.get("DefaultDependencies") == "yes":
            found[unit["Id"]] = unit.get("UnitFileState") == "enabled"
    return found
