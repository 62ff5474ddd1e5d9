"""Keeping packages from starting their services, unconfigured, while they are installed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.host.agent import disk

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "# portcullis: "

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
