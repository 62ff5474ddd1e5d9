"""The parsers of the output of apt and dpkg."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portcullis.agent.packaged import conffile_sums, listed_sums, owners
from portcullis.agent.run import Done
from portcullis.resources.packages.on_host.apt import (
    changes,
    failure,
    is_installed,
    lock_holder,
    package_states,
    with_candidate,
)

SIMULATION = """\
NOTE: This is only a simulation!
      apt-get needs root privileges for real execution.
Reading package lists...
Remv systemd-timesyncd [257.13-1]
Inst libssl3t64 [3.5.1-1] (3.5.4-1 Debian-Security:13/stable-security [amd64])
Inst nginx-common (1.26.3-3+deb13u1 Debian:13.2/stable [all]) []
Inst libc6:i386 (2.41-12 Debian:13.2/stable [i386])
Conf nginx-common (1.26.3-3+deb13u1 Debian:13.2/stable [all])
Purg old [1]
"""

POLICY = """\
nginx:
  Installed: (none)
  Candidate: 1.26.3-3+deb13u1
  Version table:
     1.26.3-3+deb13u1 500
        500 http://deb.debian.org/debian trixie/main amd64 Packages
mail-transport-agent:
  Installed: (none)
  Candidate: (none)
  Version table:
"""


FRONTEND_HELD = """\
E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 47111111 (apt-get)
N: Be aware that removing the lock file is not a solution and may break your system.
E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?
"""

LISTS_HELD = """\
E: Could not get lock /var/lib/apt/lists/lock. It is held by process 47111111 (packagekitd)
E: Unable to lock directory /var/lib/apt/lists/
"""


def test_a_simulation_lists_new_and_removed_packages_but_no_upgrades() -> None:
    will = changes(SIMULATION)
    assert will.brings == {"nginx-common", "libc6"}
    assert will.takes == {"systemd-timesyncd", "old"}


def test_a_virtual_package_has_no_candidate() -> None:
    assert with_candidate(POLICY) == {"nginx"}


@pytest.mark.parametrize(
    ("state", "there"),
    [
        ("ii", True),
        ("hi", True),
        ("rc", False),
        ("iU", False),
        ("un", False),
        ("iF", False),
        (None, False),
        ("", False),
    ],
)
def test_only_a_configured_package_is_installed(state: str | None, there: bool) -> None:  # noqa: FBT001
    assert is_installed(state) is there


def test_a_package_is_installed_if_one_architecture_is() -> None:
    assert package_states("libc6\tun \nlibc6\tii \nlibc6\trc \nx\trc \n") == {"libc6": "ii", "x": "rc"}


@pytest.mark.parametrize(
    ("errors", "holder"),
    [
        (FRONTEND_HELD, "apt-get (process 47111111)"),
        (LISTS_HELD, "packagekitd (process 47111111)"),
        (
            "E: Could not get lock /var/lib/dpkg/lock - open (11: Resource temporarily unavailable)\n",
            "another process",
        ),
        (
            "dpkg: error: dpkg frontend lock was locked by another process with pid 47111111\n",
            "a process (process 47111111)",
        ),
        ("E: Unable to lock the administration directory (/var/lib/dpkg/)\n", "another process"),
        ("E: Unable to locate package ngnix\n", None),
    ],
)
def test_who_holds_a_lock(errors: str, holder: str | None) -> None:
    assert lock_holder(errors) == holder


def test_a_holder_known_by_number_only_is_named_from_proc() -> None:
    name = Path("/proc/self/comm").read_text().strip()
    pid = os.getpid()
    assert (
        lock_holder(f"dpkg frontend lock was locked by another process with pid {pid}")
        == f"{name} (process {pid})"
    )


def test_an_error_leads_with_apts_first_line() -> None:
    error = failure("install", Done(100, "Reading...\n", "W: odd\nE: Unable to correct problems\nE: more\n"))
    assert error.message == "apt-get install failed: Unable to correct problems"
    assert "E: more" in error.detail


def test_the_owners_of_a_path_are_without_diversions() -> None:
    output = "diversion by dash from: /bin/sh\na, libx:amd64: /bin/sh\nb: /bin/sh.y\n"
    assert owners(output, "/bin/sh") == ["a", "libx:amd64"]


def test_an_obsolete_conffile_has_no_sum() -> None:
    fields = " /etc/a 0123\n /etc/b 4567 obsolete\n\n"
    assert conffile_sums(fields, "/etc/a") == {"0123"}
    assert conffile_sums(fields, "/etc/b") == set()


def test_md5sum_lines_may_have_names_with_spaces() -> None:
    assert listed_sums("0123  etc/a b\n4567  etc/a\n", "/etc/a b") == {"0123"}
