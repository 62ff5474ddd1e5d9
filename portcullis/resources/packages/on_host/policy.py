"""Keeps packages from starting services that are not configured yet: at the installation and at boot."""

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
"""Note in a set's record: the units that its installation left disabled. The inventory reads this note."""

_TIMEOUT = 60.0
_UNITS = ("/lib/systemd/system", "/usr/lib/systemd/system")
# Timers stay enabled: they start short jobs (logrotate, certbot), which a host needs.
_SUFFIXES = (".service", ".socket", ".path")

VARIABLE = "PORTCULLIS_INSTALLS"
"""The environment variable that is set for our runs of apt.

Maintainer scripts inherit the variable, and the policy applies only to scripts with the variable.
"""

# invoke-rc.d and deb-systemd-invoke ask /usr/sbin/policy-rc.d NAME ACTION. Exit code 101 forbids the action.
# Our run of apt outlives a killed agent, and must still start no service. The script that a killed agent
# leaves behind forbids nothing to other programs.
_SCRIPT = """#!/bin/sh
{mark}no new service starts while Portcullis installs packages
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
    """Inside the block, our runs of apt start no service that did not run before.

    Our script also asks the host's own policy-rc.d.
    """
    saved = policy.with_name(policy.name + ".portcullis")
    if not is_ours(policy):
        recover(policy, saved)
        with contextlib.suppress(FileNotFoundError):
            # We do not rename the policy, because a rename would leave a moment without a policy.
            os.link(policy, saved, follow_symlinks=False)
    # This write may replace the script of a killed agent, whose apt may still run.
    disk.write(policy, _SCRIPT.format(mark=MARK, variable=VARIABLE, saved=saved).encode(), mode=0o755)
    try:
        yield
    finally:
        recover(policy, saved)


def recover(policy: Path, saved: Path) -> None:
    """Put the host's own policy-rc.d back, also after a run that was killed."""
    if is_ours(policy):
        if saved.is_symlink() or saved.exists():
            saved.replace(policy)
        else:
            policy.unlink()
    elif saved.is_symlink() or saved.exists():
        if policy.is_symlink() or policy.exists():
            saved.unlink()  # a run was killed before it wrote our policy, or somebody wrote a newer policy
        else:
            saved.replace(policy)


def is_ours(policy: Path) -> bool:
    """Return whether `policy` is our script."""
    try:
        return not policy.is_symlink() and MARK.encode() in policy.read_bytes()[:200]
    except OSError:
        return False


def not_early(machine: Machine, packages: Collection[str], declared: Collection[str]) -> dict[str, bool]:
    """Return the units of the new `packages`, and whether each of them starts at the next boot.

    Units of early boot (``DefaultDependencies=no``: apparmor, networking, firewalls) and `declared` units are
    left out. Raises `AgentError` (``unreadable``).
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
    """Disable units, so that they do not start at boot. Raises `AgentError` (``systemd``)."""
    if units:
        done = machine.run(["systemctl", "--no-pager", "disable", *units], timeout=_TIMEOUT)
        if done.code:
            raise AgentError("systemd", f"systemd cannot disable {', '.join(units)}", detail=done.text)


def forget_units(machine: Machine, packages: Collection[str]) -> None:
    """Make Debian forget which units of `packages` are enabled, before the packages are removed.

    deb-systemd-helper(1p) keeps its notes until the purge. Otherwise, units that our installation disabled
    would stay disabled in the next installation. The inventory would then report them as disabled by hand.
    """
    units = _units_of(machine, packages) if packages else set()
    if units:
        # The helper runs only for the maintainer script of a package.
        script = {"DPKG_MAINTSCRIPT_PACKAGE": min(packages)}
        machine.run(["deb-systemd-helper", "purge", *sorted(units)], timeout=_TIMEOUT, env=script)


def _units_of(machine: Machine, packages: Collection[str]) -> set[str]:
    return units_among(machine.run(["dpkg-query", "-L", *sorted(packages)], timeout=_TIMEOUT).out)


def units_among(listed: str) -> set[str]:
    """Return the units in the output of ``dpkg-query -L``, without templates, which start nothing."""
    paths = [Path(line) for line in listed.splitlines() if line.endswith(_SUFFIXES)]
    return {path.name for path in paths if str(path.parent) in _UNITS and "@." not in path.name}


def starting(shown: str) -> dict[str, bool]:
    """Return the units in the output of ``systemctl show``, without those of early boot.

    The value of a unit is True if the unit starts at boot.
    """
    found = {}
    for block in shown.strip().split("\n\n"):
        unit = dict(line.partition("=")[::2] for line in block.splitlines())
        if unit.get("Id") and unit.get("DefaultDependencies") == "yes":
            found[unit["Id"]] = unit.get("UnitFileState") == "enabled"
    return found
