"""A user of the host owns a folder with a declared resource, and attacks the agent to become root."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import signal
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent import paths
from portcullis.agent.errors import AgentError
from tests.on_host import FileClient
from tests.resources.directory.test_directories import wanted
from tests.resources.tree.test_trees import SITE, TreeClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.on_host import Client

USER = 65534  # the user nobody
RACE = 2.0  # seconds


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that belongs to the user."""
    folder = Path(tempfile.mkdtemp(prefix="portcullis-home-"))
    folder.chmod(0o755)
    os.chown(folder, USER, USER)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    """A folder that only root can enter, with a file that has a secret."""
    folder = tmp_path / "root"
    folder.mkdir(mode=0o700)
    (folder / "secret").write_text("hunter2\n")
    (folder / "secret").chmod(0o600)
    return folder


@pytest.fixture
def untouched(roots: Path) -> Callable[[], None]:
    def check() -> None:
        for path, mode in ((roots, 0o700), (roots / "secret", 0o600)):
            status = path.stat()
            assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, mode)
        assert [path.name for path in roots.iterdir()] == ["secret"]
        assert (roots / "secret").read_text() == "hunter2\n"

    return check


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Turn an endless wait into an error. A race that never meets what it waits for is one too."""

    def ring(*_: Any) -> None:
        message = "it waits for the user"
        raise AssertionError(message)

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def attacker(attack: Callable[[], object]) -> Iterator[None]:
    """Repeat `attack` as the user until the end of the block, or of this process."""
    parent = os.getpid()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os.setgroups([])
            os.setgid(USER)
            os.setuid(USER)
            while os.getppid() == parent:
                with contextlib.suppress(OSError):
                    attack()
        os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def survey_error(client: Client, kind: str, path: Path) -> dict[str, str]:
    asked = {"kind": kind, "id": str(path), "spec": {"path": str(path)}}
    (found,) = client.ask("survey", items=[asked], index=False)["items"]
    error: dict[str, str] = found["error"]
    return error


def test_a_file_below_a_users_link_is_neither_read_nor_written_nor_removed(
    client: Client, home: Path, roots: Path, untouched: Callable[[], None]
) -> None:
    (home / ".ssh").mkdir()
    file = FileClient(client, home / ".ssh" / "secret")
    file.put("new\n", owner="nobody")
    shutil.rmtree(home / ".ssh")
    (home / ".ssh").symlink_to(roots)
    error = file.refused("newer\n", owner="nobody", adopt=True)
    for said in (error.message, survey_error(client, "file", file.path)["message"]):
        assert f"does not follow {home}/.ssh, a symbolic link on the way" in said
        assert f"{home} belongs to nobody" in said
        assert "hunter2" not in said
    with pytest.raises(AgentError, match="does not follow"):
        file.remove()
    untouched()


def test_a_directory_below_a_users_link_keeps_its_owner(
    client: Client, home: Path, tmp_path: Path, roots: Path
) -> None:
    (home / "www").symlink_to(tmp_path)
    path = home / "www" / roots.name
    error = client.refused("put", "directory", str(path), wanted(path, owner="nobody"), adopt=True)
    assert "does not follow" in error.message
    assert roots.stat().st_uid == 0
    assert "does not follow" in survey_error(client, "directory", path)["message"]


def test_a_tree_below_a_users_link_is_not_built(client: Client, home: Path, roots: Path) -> None:
    (home / "www").symlink_to(roots)
    site = TreeClient(client, home / "www" / "site")
    with pytest.raises(AgentError, match="does not follow"):
        site.put(SITE, adopt=True)
    assert [path.name for path in roots.iterdir()] == ["secret"]


@pytest.mark.parametrize("target", ["real", "../etc/real", "{etc}/real"])
def test_a_link_in_a_folder_of_root_is_followed(client: Client, etc: Path, target: str) -> None:
    (etc / "real").mkdir()
    (etc / "link").symlink_to(target.format(etc=etc))
    file = FileClient(client, etc / "link" / "motd")
    file.put("new\n")
    assert (etc / "real" / "motd").read_text() == "new\n"
    assert file.facts()["content"] == "new\n"
    assert file.remove() == "removed"
    path = etc / "link" / "app"
    client.on("put", "directory", str(path), wanted(path))
    assert (etc / "real" / "app").is_dir()
    site = TreeClient(client, etc / "link" / "site")
    site.put(SITE)
    assert site.contents() == SITE


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_link_in_a_folder_that_others_can_write_is_not_followed(
    client: Client, etc: Path, roots: Path, mode: int
) -> None:
    etc.chmod(mode)
    (etc / "link").symlink_to(roots)
    os.chown(etc / "link", USER, USER, follow_symlinks=False)
    error = FileClient(client, etc / "link" / "secret").refused(adopt=True)
    assert f"{etc} is writable for others than root" in error.message


def test_a_link_of_root_in_a_folder_like_tmp_is_followed(client: Client, etc: Path, tmp_path: Path) -> None:
    etc.chmod(0o1777)
    (tmp_path / "real").mkdir()
    (etc / "link").symlink_to(tmp_path / "real")
    FileClient(client, etc / "link" / "motd").put()
    assert (tmp_path / "real" / "motd").exists()


def test_a_link_of_root_below_a_users_folder_is_not_followed(client: Client, home: Path, etc: Path) -> None:
    (home / "made").mkdir()
    (home / "made" / "link").symlink_to(etc)
    assert "does not follow" in FileClient(client, home / "made" / "link" / "motd").refused().message


def test_a_users_folder_with_the_name_of_the_old_stage_does_no_harm(
    client: Client, home: Path, roots: Path, untouched: Callable[[], None]
) -> None:
    stage = home / ".site.portcullis-stage"
    stage.mkdir()
    for data in SITE.values():
        with contextlib.suppress(FileExistsError):
            os.mkfifo(stage / hashlib.sha256(data).hexdigest())
            (stage / f"{hashlib.sha256(data).hexdigest()}.part").symlink_to(roots / "secret")
    site = TreeClient(client, home / "site")
    site.put(SITE, owner="nobody")
    assert site.contents() == SITE
    untouched()


@pytest.mark.parametrize("link", [False, True])
def test_an_original_folder_never_moves_into_a_folder_of_the_user(
    client: Client, home: Path, tmp_path: Path, *, link: bool
) -> None:
    lure = tmp_path / "lure" if link else home / ".site.portcullis-original"
    lure.mkdir()
    os.chown(lure, USER, USER)
    if link:
        (home / ".site.portcullis-original").symlink_to(lure)
    (home / "site").mkdir()
    (home / "site" / "theirs").touch()
    site = TreeClient(client, home / "site")
    with pytest.raises(AgentError, match="is not ours, but Portcullis has to keep"):
        site.put(SITE, adopt=True)
    assert list(lure.iterdir()) == []
    assert (home / "site" / "theirs").exists()


def test_an_original_folder_comes_back_only_from_a_folder_of_root(
    client: Client, home: Path, tmp_path: Path
) -> None:
    site = TreeClient(client, home / "site")
    site.put(SITE, owner="nobody")
    (tmp_path / "lure" / "tree").mkdir(parents=True)
    (home / ".site.portcullis-original").symlink_to(tmp_path / "lure")
    site.remove()
    assert (tmp_path / "lure" / "tree").is_dir()
    assert list(home.iterdir()) == []


def test_a_pipe_in_a_users_tree_does_not_block_its_next_version(client: Client, home: Path) -> None:
    site = TreeClient(client, home / "site")
    site.put(SITE, owner="nobody")
    (site.path / "index.html").unlink()
    os.mkfifo(site.path / "index.html")
    site.put(SITE, owner="nobody")
    assert site.contents() == SITE


def test_a_file_that_is_swapped_before_its_owner_is_set_keeps_its_owner(
    client: Client, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = FileClient(client, home / "f")
    file.put("new\n")
    (home / "roots").write_text("hunter2\n")
    (home / "roots").chmod(0o600)
    ids = paths.ids

    def swap(owner: str, group: str) -> tuple[int, int]:
        with contextlib.suppress(FileNotFoundError):
            (home / "roots").replace(file.path)
        return ids(owner, group)

    monkeypatch.setattr(paths, "ids", swap)
    assert "changed during the deployment" in file.refused("new\n", owner="nobody").message
    assert file.path.stat().st_uid == 0


def test_race_a_version_under_way_that_the_user_renames(
    client: Client, home: Path, roots: Path, untouched: Callable[[], None]
) -> None:
    def attack() -> None:
        for name in os.listdir(home):  # noqa: PTH208
            if ".portcullis-" in name and not name.endswith(".link"):
                (home / name).rename(home / f"stolen{time.monotonic_ns()}")
                (home / name).symlink_to(roots)

    site = TreeClient(client, home / "site")
    secret = {**{f"d/{n}": b"x" for n in range(40)}, "secret": b"hunter2\n"}
    end = time.monotonic() + RACE
    rounds = 0
    with attacker(attack):
        while time.monotonic() < end or rounds < 2:
            rounds += 1
            with contextlib.suppress(AgentError):
                site.put({**secret, "round": b"%d" % rounds}, adopt=True, owner="nobody", group="nogroup")
            untouched()


def test_race_a_file_that_turns_into_a_link_and_a_pipe_while_it_is_kept(
    home: Path, tmp_path: Path, roots: Path
) -> None:
    path, copy = home / "f", tmp_path / "copy"
    # To make a file takes longest, so what comes before it is seen most.
    orders = itertools.cycle(itertools.permutations(range(3)))

    def attack() -> None:
        for number in next(orders):
            new = home / f"new{number}"
            (new.touch, lambda new=new: new.symlink_to(roots / "secret"), lambda new=new: os.mkfifo(new))[
                number
            ]()
            new.replace(path)

    seen: set[str] = set()
    end = time.monotonic() + RACE
    with attacker(attack):
        while time.monotonic() < end or not {"file", "symlink", "other"} <= seen:
            try:
                seen.add(paths.keep(path, copy)["type"])
            except AgentError as error:
                seen.add(error.code)
            assert not copy.exists() or copy.read_bytes() == b""


def test_race_a_parent_that_turns_into_a_link(
    client: Client, home: Path, roots: Path, untouched: Callable[[], None]
) -> None:
    """The folder changes between the check and the write. The secret has the same name as the file."""

    def attack() -> None:
        (home / "d").rename(home / "real")
        (home / "d").symlink_to(roots)
        (home / "d").unlink()
        (home / "real").rename(home / "d")
        time.sleep(0.001)

    (home / "d").mkdir()
    os.chown(home / "d", USER, USER)
    file = FileClient(client, home / "d" / "secret")
    end = time.monotonic() + RACE
    written = 0
    with attacker(attack):
        while time.monotonic() < end or not written:
            with contextlib.suppress(AgentError):
                file.put(f"{written}\n", adopt=True, owner="nobody", on_delete="remove")
                written += 1
            with contextlib.suppress(AgentError):
                file.remove(on_delete="remove")
            untouched()
