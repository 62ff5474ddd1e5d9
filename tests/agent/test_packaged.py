"""The code that reads the list of configuration files in dpkg's status file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.agent.packaged import conffiles

if TYPE_CHECKING:
    from pathlib import Path

    from portcullis.agent.machine import Machine

SUMS = [letter * 32 for letter in "abcdef"]
STATUS = """\
Package: first
Conffiles:
 {folder}/one {0}
Version: 1

Package: lib-2.0+x
Depends: first
Conffiles:
 {folder}/two {1}
 {folder}/old {2} obsolete
 {folder}-other/three {3}
Description: text
 {folder}/none of them
 .
 Package: none

Package: last
Conffiles:
 {folder}/sub/four {4}
"""


def test_each_conffile_has_its_package_and_its_sum(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    (machine.dpkg / "status").write_text(STATUS.format(*SUMS, folder=folder))
    assert {name: tuple(one) for name, one in conffiles(machine, folder).items()} == {
        f"{folder}/one": ("first", SUMS[0]),
        f"{folder}/two": ("lib-2.0+x", SUMS[1]),
        f"{folder}/sub/four": ("last", SUMS[4]),
    }


@pytest.mark.parametrize("text", ["", "Conffiles:\n /etc/x " + SUMS[0], "\n\n /etc/x " + SUMS[0] + "\n"])
def test_a_conffile_in_a_malformed_status_has_no_package(machine: Machine, tmp_path: Path, text: str) -> None:
    (machine.dpkg / "status").write_text(text.replace("/etc", str(tmp_path)))
    assert all(not one.package for one in conffiles(machine, tmp_path).values())
