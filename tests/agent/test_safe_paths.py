"""Tests which links the agent follows, and which modes new folders get. No file descriptor may stay open."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portcullis.agent import safe_paths
from portcullis.agent.errors import AgentError
from portcullis.agent.safe_paths import FolderEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534


@pytest.fixture
def here() -> Iterator[Path]:
    """A folder that only root can change.

    Of the folders above it, only /tmp is open to every user. No descriptor may stay open.
    """
    folder = Path(tempfile.mkdtemp(prefix="portcullis-paths-"))
    gc.collect()  # else it may close, during the test, what another test left open
    before = set(Path("/proc/self/fd").iterdir())
    yield folder
    assert set(Path("/proc/self/fd").iterdir()) <= before
    shutil.rmtree(folder)


@contextlib.contextmanager
def opened(path: Path, *, make: bool = False) -> Iterator[int]:
    fd = safe_paths.open_parent(path, make=make)
    try:
        yield fd
    finally:
        os.close(fd)


def parent_of(path: Path, *, make: bool = False) -> str:
    """Return the folder that a path leads to after all links."""
    with opened(path, make=make) as fd:
        return os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - text is wanted


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def test_a_folder_entry_describes_itself_and_follows_no_link(here: Path) -> None:
    (here / "file").write_text("x")
    (here / "link").symlink_to("file")
    with opened(here / "file") as folder:
        status = FolderEntry(here / "link", folder).look()
        assert status is not None
        assert stat.S_ISLNK(status.st_mode)
        assert FolderEntry(here / "link", folder).target() == "file"
        assert FolderEntry(here / "gone", folder).look() is None
        fd = FolderEntry(here / "file", folder).open()
        assert b"".join(safe_paths.pieces(fd)) == b"x"
        os.close(fd)
    assert FolderEntry(here / "gone/x", -1).look() is None


def test_only_a_regular_file_is_opened_and_a_pipe_does_not_block(here: Path) -> None:
    os.mkfifo(here / "pipe")
    (here / "folder").mkdir()
    (here / "link").symlink_to("folder")
    line = socket.socket(socket.AF_UNIX)
    line.bind(str(here / "socket"))
    line.close()
    with opened(here / "x") as folder:
        for name in ("pipe", "folder", "link", "socket"):
            with pytest.raises(AgentError, match="was replaced while it was read") as caught:
                safe_paths.open_file(folder, name, here / name)
            assert (caught.value.code, caught.value.prop) == ("unreadable", "path")
        with pytest.raises(FileNotFoundError):
            safe_paths.open_file(folder, "gone", here / "gone")


def test_a_file_is_read_in_pieces(here: Path) -> None:
    (here / "file").write_bytes(b"a" * 100_000)
    with opened(here / "file") as folder:
        fd = safe_paths.open_file(folder, "file", here / "file")
        assert [len(piece) for piece in safe_paths.pieces(fd)] == [65536, 34464]
        os.close(fd)


def test_folders_that_are_missing_are_made_when_asked(here: Path) -> None:
    umask = os.umask(0o022)
    with pytest.raises(FileNotFoundError):
        safe_paths.open_parent(here / "a/b/file")
    assert parent_of(here / "a/b/file", make=True) == f"{here}/a/b"
    os.umask(umask)
    assert (mode(here / "a"), mode(here / "a/b")) == ("0o755", "0o755")
    assert parent_of(Path("/etc")) == "/"


def test_a_file_in_the_middle_of_a_path_is_an_error(here: Path) -> None:
    (here / "file").write_text("")
    for make in (False, True):
        with pytest.raises(NotADirectoryError):
            parent_of(here / "file/x", make=make)
        with pytest.raises(OSError, match="name too long"):
            parent_of(here / ("a" * 300) / "x", make=make)


@pytest.mark.parametrize("target", ["real/sub", "./real//sub", "real/../real/sub", "{here}/real/sub"])
def test_a_link_that_root_owns_is_followed(here: Path, target: str) -> None:
    (here / "real/sub").mkdir(parents=True)
    (here / "link").symlink_to(target.format(here=here))
    assert parent_of(here / "link/file") == f"{here}/real/sub"


def test_as_many_links_are_followed_as_the_kernel_does(here: Path) -> None:
    (here / "0").mkdir()
    for number in range(1, 42):
        (here / str(number)).symlink_to(str(number - 1))
    assert parent_of(here / "40/file") == f"{here}/0"
    with pytest.raises(OSError, match="Too many levels") as caught:
        parent_of(here / "41/file")
    assert caught.value.errno == errno.ELOOP


def own(path: Path, uid: int) -> None:
    os.chown(path, uid, uid, follow_symlinks=False)


@pytest.mark.parametrize(
    ("change", "whose"),
    [
        (lambda here: own(here, NOBODY), "belongs to nobody"),
        (lambda here: own(here, 4712), "belongs to 4712"),
        (lambda here: here.chmod(0o770), "is writable for others than root"),
        (lambda here: here.chmod(0o707), "is writable for others than root"),
        (lambda here: (here.chmod(0o1777), own(here / "link", NOBODY)), "is writable for others than root"),
        (lambda here: here.chmod(0o1777), ""),
        (lambda here: own(here / "link", NOBODY), ""),
    ],
)
def test_a_link_is_followed_only_where_nobody_but_root_can_change_it(
    here: Path, change: Callable[[Path], object], whose: str
) -> None:
    (here / "real").mkdir()
    (here / "link").symlink_to("real")
    change(here)
    if not whose:
        assert parent_of(here / "link/file") == f"{here}/real"
        return
    with pytest.raises(AgentError) as caught:
        parent_of(here / "link/file")
    assert caught.value.message == (
        f"the agent does not follow {here}/link, a symbolic link on the way to {here}/link/file: "
        f"the folder {here} {whose}"
    )


def test_a_link_below_a_users_folder_is_not_followed_even_in_a_folder_of_root(
    here: Path,
) -> None:
    (here / "user/root/real").mkdir(parents=True)
    (here / "user/root/link").symlink_to("real")
    own(here / "user", NOBODY)
    with pytest.raises(AgentError, match=f"the folder {here}/user belongs to nobody"):
        parent_of(here / "user/root/link/file")
    (here / "user/root").chmod(0o777)
    own(here / "user/root/link", NOBODY)
    with pytest.raises(AgentError, match=f"the folder {here}/user belongs to nobody"):
        parent_of(here / "user/root/link/file")


def test_a_new_folder_is_empty_and_only_root_can_enter_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(here / "x") as folder:
        fd = safe_paths.make_folder(folder, "new", here / "new")
        assert safe_paths.is_ours(fd)
        os.close(fd)
        assert mode(here / "new") == "0o700"
        with pytest.raises(FileExistsError):
            safe_paths.make_folder(folder, "new", here / "new")
        make = os.mkdir

        def swapped(name: str, *arguments: int, dir_fd: int) -> None:
            make(name, *arguments, dir_fd=dir_fd)
            if name == "filled":
                (here / name / "x").write_text("")
            else:
                own(here / name, NOBODY)

        monkeypatch.setattr(os, "mkdir", swapped)
        for name in ("filled", "theirs"):
            with pytest.raises(AgentError, match="as soon as it was made") as caught:
                safe_paths.make_folder(folder, name, here / name)
            assert (caught.value.code, caught.value.prop) == ("invalid", "path")


@pytest.mark.parametrize(
    ("permissions", "uid", "ours"),
    [(0o700, 0, True), (0o500, 0, True), (0o710, 0, False), (0o701, 0, False), (0o700, NOBODY, False)],
)
def test_a_folder_is_ours_if_nobody_else_can_enter_it(
    here: Path,
    permissions: int,
    uid: int,
    ours: bool,  # noqa: FBT001
) -> None:
    (here / "folder").mkdir()
    (here / "folder").chmod(permissions)
    own(here / "folder", uid)
    with opened(here / "folder/x") as fd:
        assert safe_paths.is_ours(fd) is ours


def test_folders_below_an_open_folder_are_entered_without_following_links(here: Path) -> None:
    (here / "link").symlink_to("/etc")
    with opened(here / "x") as folder:
        with safe_paths.below(folder, "") as same:
            assert os.fstat(same).st_ino == os.fstat(folder).st_ino
        with pytest.raises(FileNotFoundError), safe_paths.below(folder, "a/b"):
            pass
        for _ in range(2):
            with safe_paths.below(folder, "a/b", make=True) as inner:
                assert os.fstat(inner).st_ino == (here / "a/b").stat().st_ino
        assert (mode(here / "a"), mode(here / "a/b")) == ("0o700", "0o700")
        with pytest.raises(NotADirectoryError), safe_paths.below(folder, "link"):
            pass


def test_a_folder_is_removed_with_its_content_but_not_the_target_of_a_link(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "kept").mkdir()
    (here / "kept/file").write_text("")
    (here / "folder/inner").mkdir(parents=True)
    (here / "folder/inner/file").write_text("")
    (here / "folder/link").symlink_to(here / "kept")
    (here / "file").write_text("")
    with opened(here / "x") as folder:
        for name in ("folder", "file", "gone"):
            safe_paths.remove_all(folder, name)
        with pytest.raises(OSError, match="name too long"):
            safe_paths.remove_all(folder, "a" * 300)
        (here / "busy").mkdir()
        with monkeypatch.context() as patch:

            def refilled(name: str, *, dir_fd: int) -> None:
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), name, dir_fd)

            patch.setattr(os, "rmdir", refilled)
            with pytest.raises(OSError, match="not empty"):
                safe_paths.remove_all(folder, "busy")
        (here / "busy").rmdir()
    assert [path.name for path in here.iterdir()] == ["kept"]
    assert (here / "kept/file").exists()


def test_only_a_regular_file_is_opened_behind_a_link(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "file").write_text("hello")
    os.mkfifo(here / "pipe")
    opened: list[str] = []
    really_open = os.open

    def note(path: Path | str, flags: int, *more: int) -> int:
        if not flags & os.O_PATH:
            opened.append(str(Path(path).resolve()))
        return really_open(path, flags, *more)

    for name in ("file", "pipe", "/proc/kmsg", "/sys/kernel/uevent_seqnum"):
        (here / "link").symlink_to(name)
        with monkeypatch.context() as noted:
            noted.setattr(os, "open", note)
            fd = safe_paths.open_behind_links(here / "link")
        assert (fd is not None) == (name == "file")
        if fd is not None:
            assert os.read(fd, 9) == b"hello"
            os.close(fd)
        (here / "link").unlink()
    assert opened == [str(here / "file")]
    with pytest.raises(FileNotFoundError):
        safe_paths.open_behind_links(here / "nothing")
