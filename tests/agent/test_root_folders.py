"""A command is offered only for a path that root alone can redirect until somebody pastes the command."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest

from portcullis.agent.root_folders import RootFolders
from tests.components.inventory.debian import Debian

if TYPE_CHECKING:
    from pathlib import Path

MALLORY = 1000


@pytest.fixture
def debian(tmp_path: Path) -> Debian:
    return Debian(tmp_path)


def holds(debian: Debian, path: str) -> bool:
    return RootFolders(debian.root).hold(path)


def folder(debian: Debian, path: str, uid: int = 0, mode: int = 0o755, gid: int = 0) -> str:
    debian.at(path).mkdir(parents=True, exist_ok=True)
    os.chown(debian.at(path), uid, gid)
    debian.at(path).chmod(mode)
    return path


def test_a_path_of_root(debian: Debian) -> None:
    assert holds(debian, folder(debian, "/etc/cron.d") + "/evil")
    assert holds(debian, "/etc/passwd")
    assert holds(debian, "/vmlinuz")
    assert holds(debian, "/etc/missing/folder/x"), "only root can make this folder"


@pytest.mark.parametrize(
    ("uid", "mode"), [(MALLORY, 0o755), (0, 0o777), (0, 0o1777), (0, 0o775), (MALLORY, 0o555)]
)
def test_a_folder_that_others_can_write(debian: Debian, uid: int, mode: int) -> None:
    folder(debian, "/opt/a/b")
    folder(debian, "/opt/a", uid, mode)
    assert holds(debian, "/opt/a")
    assert not holds(debian, "/opt/a/x")
    assert not holds(debian, "/opt/a/b/x"), "every level counts"
    assert not holds(debian, "/opt/a/missing/x")


def test_the_root_folder_counts_too(debian: Debian) -> None:
    os.chown(debian.root, MALLORY, 0)
    assert not holds(debian, "/vmlinuz")
    os.chown(debian.root, 0, 0)


def test_links_on_the_way(debian: Debian) -> None:
    folder(debian, "/usr/bin")
    folder(debian, "/home/mallory/bin")
    folder(debian, "/home/mallory", MALLORY)
    for name, target in {
        "/bin": "usr/bin",
        "/sbin": "/usr/./bin/",
        "/up": "usr/bin/../bin",
        "/out": "../../../../../../usr/bin",
        "/theirs": "/home/mallory/bin",
        "/usr/below": "/home/mallory/bin",
        "/through": "home/mallory/../../usr/bin",
        "/twice": "theirs",
        "/loop": "loop",
    }.items():
        debian.link(name, target)
    safe = {name for name in debian.root.iterdir() if name.is_symlink() and holds(debian, f"/{name.name}/x")}
    assert {path.name for path in safe} == {"bin", "sbin", "up", "out"}
    assert not holds(debian, "/usr/below/x")
    debian.link("/lib", "usr/bin")
    os.chown(debian.at("/lib"), MALLORY, 0, follow_symlinks=False)
    assert not holds(debian, "/lib/x"), "root did not make the link"


def test_a_folder_that_is_a_file_or_cannot_be_read(debian: Debian) -> None:
    assert not holds(debian, "/etc/passwd/x")
    assert not holds(debian, f"/{'x' * 300}/x")


def test_a_list_of_accounts_that_may_write_makes_a_folder_others(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x").chmod(0o755)
    assert RootFolders(tmp_path).hold("/x/file")
    none = 0xFFFFFFFF
    entries = [(1, 7, none), (2, 7, 1), (4, 5, none), (16, 7, none), (32, 5, none)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(tmp_path / "x", "system.posix_acl_access", acl)
    except OSError:
        pytest.skip("the file system has no access control lists")
    assert not RootFolders(tmp_path).hold("/x/file")
