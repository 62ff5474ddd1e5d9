"""Tests the files with an account's keys: their paths, their faults, and how the agent writes them."""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.errors import AgentError
from portcullis.agent.run import Done
from portcullis.components.users.on_host import key_files
from portcullis.components.users.on_host.accounts import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from portcullis.agent.machine import Machine

UID = 4711
KEYS = ".ssh/authorized_keys"


@pytest.fixture
def alice() -> Iterator[Account]:
    """Return an account with a home below a folder that everybody may enter, and a file with keys."""
    folder = Path(tempfile.mkdtemp(prefix="portcullis-homes-"))
    folder.chmod(0o755)
    home = folder / "alice"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    home.chmod(0o750)
    (home / KEYS).write_text("keys\n")
    (home / KEYS).chmod(0o600)
    for path in (home, home / ".ssh", home / KEYS):
        os.chown(path, UID, UID)
    fields: dict[str, Any] = {field.name: "" for field in dataclasses.fields(Account)}
    yield Account(**{**fields, "name": "alice", "uid": UID, "gid": UID, "home": home})
    shutil.rmtree(folder)


def seen(account: Account, *files: str) -> key_files.State:
    return key_files.look(account, [account.home / file for file in files or (KEYS,)])


def test_a_private_file_has_no_fault(alice: Account) -> None:
    found = seen(alice, KEYS, ".ssh/authorized_keys2")
    path = alice.home / KEYS
    assert (found.texts, found.fault, found.obstacle) == ({str(path): "keys\n"}, "", "")
    assert found.keepable == found.paths == (path, alice.home / ".ssh/authorized_keys2")
    assert found.first == str(path)


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    make(path)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a home for others": (
        lambda home: home.chmod(0o770),
        "{home} has mode 0770, so other users can write to it",
    ),
    "a home for everybody": (
        lambda home: home.chmod(0o702),
        "{home} has mode 0702, so other users can write to it",
    ),
    "a folder for others": (lambda home: (home / ".ssh").chmod(0o750), "{home}/.ssh has mode 0750"),
    "a file for others": (lambda home: (home / KEYS).chmod(0o640), "{file} has mode 0640"),
    "a file of somebody else": (lambda home: os.chown(home / KEYS, 1, 1), "{file} belongs to daemon"),
    "a file of root's": (lambda home: os.chown(home / KEYS, 0, 0), "{file} belongs to root"),
    "a link for the folder": (
        lambda home: replaced(home / ".ssh", lambda path: path.symlink_to("/")),
        "{home}/.ssh is a symbolic link",
    ),
    "a pipe for the file": (lambda home: replaced(home / KEYS, os.mkfifo), "{file} is a named pipe"),
    "a folder for the file": (lambda home: replaced(home / KEYS, os.mkdir), "{file} is a directory"),
}
OBSTACLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a home of somebody else": (
        lambda home: os.chown(home, 1, 1), "the home {home} belongs to daemon, not to alice",
    ),
    "a file for the home": (
        lambda home: replaced(home, Path.touch), "the home {home} is a file",
    ),
    "a file for the folder": (
        lambda home: replaced(home / ".ssh", Path.touch), "{home}/.ssh is a file, but must be a folder",
    ),
    "a folder of somebody else": (
        lambda home: os.chown(home / ".ssh", 1, 1),
        "{home}/.ssh belongs to daemon, not to alice: give it to alice",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said"), FAULTS.values(), ids=FAULTS)
def test_files_that_others_can_read_or_write_are_drift(
    alice: Account, change: Callable[[Path], object], said: str
) -> None:
    change(alice.home)
    found = seen(alice)
    assert found.fault.startswith(said.format(home=alice.home, file=alice.home / KEYS))
    assert found.obstacle == ""


@pytest.mark.parametrize(("change", "said"), OBSTACLES.values(), ids=OBSTACLES)
def test_faults_that_a_person_must_correct(
    alice: Account, change: Callable[[Path], object], said: str
) -> None:
    change(alice.home)
    said = said.format(home=alice.home)
    assert seen(alice).obstacle.partition("; ")[0].startswith(said)


@pytest.mark.parametrize("change", ["no home", "no folder", "no file", "a home of root's"])
def test_a_missing_home_folder_or_file_is_no_fault(alice: Account, change: str) -> None:
    if change == "a home of root's":
        os.chown(alice.home, 0, 0)
    else:
        gone = {"no home": alice.home, "no folder": alice.home / ".ssh", "no file": alice.home / KEYS}[change]
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    found = seen(alice)
    assert (found.fault, found.obstacle) == ("", "")
    assert found.keepable == found.paths
    assert bool(found.texts) is (change == "a home of root's")


def test_a_file_behind_a_link_is_neither_read_nor_kept(alice: Account) -> None:
    replaced(alice.home / ".ssh", lambda path: path.symlink_to("/"))
    found = seen(alice)
    assert (found.texts, found.keepable) == ({}, ())


def test_a_fault_that_concerns_two_files_is_reported_once(alice: Account) -> None:
    (alice.home / ".ssh").chmod(0o777)
    assert seen(alice, KEYS, ".ssh/authorized_keys2").fault == f"{alice.home}/.ssh has mode 0777"


def test_an_account_without_a_home_and_an_sshd_without_key_files(alice: Account) -> None:
    assert key_files.look(alice, []).obstacle == "sshd's AuthorizedKeysFile is none, so sshd reads no keys"
    assert key_files.look(alice, []).first == ""
    nowhere = dataclasses.replace(alice, home=Path("/"))
    assert key_files.look(nowhere, [Path("/keys-of-alice")]).obstacle == "alice has no home"


def test_other_users_may_read_a_file_of_root_outside_the_home(alice: Account) -> None:
    elsewhere = alice.home.parent / "keys"
    elsewhere.write_text("keys\n")
    elsewhere.chmod(0o644)
    assert key_files.look(alice, [elsewhere]).fault == ""
    elsewhere.chmod(0o664)
    assert key_files.look(alice, [elsewhere]).fault == f"{elsewhere} has mode 0664"
    os.chown(elsewhere, 1, 1)
    assert key_files.look(alice, [elsewhere]).fault == f"{elsewhere} belongs to daemon"


@pytest.mark.parametrize(("size", "fits"), [(262_144, True), (262_145, False)])
def test_a_file_over_the_limit_is_a_fault(alice: Account, size: int, fits: bool) -> None:  # noqa: FBT001
    (alice.home / KEYS).write_bytes(b"k" * size)
    found = seen(alice).fault
    assert found == ("" if fits else f"{alice.home / KEYS} has over 262144 bytes")


DEFAULT = ["/home/alice/.ssh/authorized_keys", "/home/alice/.ssh/authorized_keys2"]


@pytest.mark.parametrize(
    ("said", "files"),
    [
        ("authorizedkeysfile .ssh/authorized_keys\n", DEFAULT[:1]),
        ("port 22\nauthorizedkeysfile .ssh/a none /etc/keys/%u %h/x/%U 100%% .ssh/a\nusedns no\n",
         ["/home/alice/.ssh/a", "/etc/keys/alice", "/home/alice/x/4711", "/home/alice/100%"]),
        ("authorizedkeysfile none\n", []),
        ("authorizedkeysfile ../a\n", ["/home/a"]),
        ("port 22\n", DEFAULT),
        (None, DEFAULT),
        (AgentError("invalid", "there is no program sshd on the host"), DEFAULT),
    ],
)  # fmt: skip
def test_where_sshd_reads_keys(machine: Machine, said: Any, files: list[str]) -> None:
    asked: list[Sequence[str]] = []

    def run(argv: Sequence[str], *, timeout: float, env: Any = None) -> Done:
        assert timeout > 0
        assert env is None
        asked.append(argv)
        if isinstance(said, AgentError):
            raise said
        return Done(255, "authorizedkeysfile /x\n", "") if said is None else Done(0, said, "")

    found = key_files.locations(dataclasses.replace(machine, run=run), "alice", UID, Path("/home/alice"))
    assert [str(path) for path in found] == files
    assert asked == [["sshd", "-T", "-C", "user=alice,host=localhost,addr=127.0.0.1"]]


def modes(*paths: Path) -> list[tuple[str, int]]:
    return [(oct(stat.S_IMODE(path.stat().st_mode)), path.stat().st_uid) for path in paths]


def test_keys_are_written_to_the_first_file_and_only_the_user_can_read_them(alice: Account) -> None:
    (alice.home / ".ssh/authorized_keys2").write_text("old\n")
    alice.home.chmod(0o777)
    (alice.home / ".ssh").chmod(0o777)
    key_files.write(alice, seen(alice, KEYS, ".ssh/authorized_keys2"), "new\n")
    assert (alice.home / KEYS).read_text() == "new\n"
    assert not (alice.home / ".ssh/authorized_keys2").exists()
    assert modes(alice.home, alice.home / ".ssh", alice.home / KEYS) == [
        ("0o755", UID), ("0o700", UID), ("0o600", UID),
    ]  # fmt: skip


def test_a_missing_home_and_missing_folders_are_made(alice: Account) -> None:
    shutil.rmtree(alice.home)
    key_files.write(alice, seen(alice), "new\n")
    assert modes(alice.home, alice.home / ".ssh", alice.home / KEYS) == [
        ("0o700", UID), ("0o700", UID), ("0o600", UID),
    ]  # fmt: skip


def test_no_file_descriptor_stays_open(alice: Account) -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    key_files.write(alice, seen(alice), "new\n")
    shutil.rmtree(alice.home)
    key_files.write(alice, seen(alice), "new\n")
    os.chown(alice.home / ".ssh", 1, 1)
    with pytest.raises(AgentError):
        key_files.write(alice, seen(alice), "new\n")
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_a_home_that_root_owns_keeps_its_mode(alice: Account) -> None:
    os.chown(alice.home, 0, 0)
    alice.home.chmod(0o775)
    key_files.write(alice, seen(alice), "new\n")
    assert modes(alice.home) == [("0o775", 0)]


def test_a_key_file_outside_the_home_belongs_to_root_and_is_readable(alice: Account) -> None:
    elsewhere = alice.home.parent / "keys/alice"
    key_files.write(alice, key_files.look(alice, [elsewhere, alice.home / KEYS]), "new\n")
    assert elsewhere.read_text() == "new\n"
    assert modes(elsewhere) == [("0o644", 0)]
    assert not (alice.home / KEYS).exists()


def test_a_file_behind_a_link_is_not_removed(alice: Account, tmp_path: Path) -> None:
    (tmp_path / "authorized_keys").write_text("root's\n")
    replaced(alice.home / ".ssh", lambda path: path.symlink_to(tmp_path))
    state = key_files.look(alice, [alice.home / "keys", alice.home / KEYS])
    key_files.write(alice, state, "new\n")
    assert (tmp_path / "authorized_keys").read_text() == "root's\n"
    key_files.put_back(alice, alice.home / KEYS, {"type": "absent"}, tmp_path / "none")
    assert (tmp_path / "authorized_keys").read_text() == "root's\n"


def test_a_folder_of_another_user_is_refused(alice: Account) -> None:
    state = seen(alice)
    os.chown(alice.home / ".ssh", 1, 1)
    with pytest.raises(AgentError, match="belongs to daemon, not to alice"):
        key_files.write(alice, state, "new\n")
    assert (alice.home / KEYS).read_text() == "keys\n"
