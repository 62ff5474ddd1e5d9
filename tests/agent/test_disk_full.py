from __future__ import annotations

import contextlib
import dataclasses
import subprocess
from typing import TYPE_CHECKING

import pytest

from portcullis.agent.errors import AgentError
from tests.on_host import Client, FileClient
from tests.resources.tree.test_trees import TreeClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from portcullis.agent.machine import Machine


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB and 16 inodes."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=16", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(b"x" * 4096)


def test_a_full_file_system_is_named_and_the_old_file_is_untouched(
    client: Client, small: Path, leftovers: Callable[[], list[str]]
) -> None:
    motd = FileClient(client, small / "motd")
    motd.put("old\n")
    fill(small)
    error = motd.refused("n" * 10_000)
    assert error.code == "no-space"
    assert str(small) in error.message
    assert "0 bytes free of 64 KB" in error.message
    assert motd.path.read_text() == "old\n"
    assert leftovers() == []


def test_a_file_system_without_inodes_is_reported_as_such(client: Client, small: Path) -> None:
    for number in range(15):
        (small / f"f{number}").touch()
    error = FileClient(client, small / "motd").refused()
    assert error.code == "no-space"
    assert "no inodes left" in error.message


def test_an_original_that_cannot_be_kept_stays_where_it_is(machine: Machine, small: Path, etc: Path) -> None:
    motd = FileClient(Client(dataclasses.replace(machine, state=small / "state")), etc / "motd")
    motd.path.write_bytes(b"theirs " * 10_000)
    error = motd.refused(adopt=True)
    assert error.code == "no-space"
    assert motd.path.read_bytes() == b"theirs " * 10_000
    motd.client.close()


def test_a_tree_that_does_not_fit_leaves_the_present_version(
    client: Client, small: Path, leftovers: Callable[[], list[str]]
) -> None:
    tree = TreeClient(client, small / "site")
    tree.put({"index.html": b"old"})
    before = leftovers()
    with pytest.raises(Exception, match="no space left"):
        tree.put({"index.html": b"new", "large": b"x" * 80_000})
    assert tree.contents() == {"index.html": b"old"}
    assert tree.put({"index.html": b"new"})["steps"]
    assert tree.contents() == {"index.html": b"new"}
    assert len(leftovers()) == len(before)


def test_bytes_that_do_not_fit_in_the_state_folder_name_its_file_system(
    machine: Machine, small: Path, tmp_path: Path
) -> None:
    client = Client(dataclasses.replace(machine, state=small / "state"))
    with pytest.raises(AgentError) as caught:
        TreeClient(client, tmp_path / "site").put({"large": b"x" * 80_000})
    assert caught.value.code == "no-space"
    assert f"file system {small} " in caught.value.message
    client.close()
