"""Tests how the agent changes users: their keys, sudo rules, shell, groups and password.

Also tests the undo and the delete.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.errors import AgentError
from portcullis.agent.run import Done, run
from portcullis.agent.store import Store
from portcullis.components.users.facts import OPTIONAL
from portcullis.components.users.on_host import accounts, authorized_keys, key_files, users
from tests.agent.test_unprivileged import RACE, USER, attacker
from tests.components.users.fake_accounts import FakeAccounts
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portcullis.agent.machine import Machine

Json = dict[str, Any]


def key(seed: str, *, comment: str = "") -> str:
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + seed.encode().ljust(32, b".")
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}".strip()


def fingerprint(line: str) -> str:
    found = authorized_keys.parse(line)
    assert found
    return found.fingerprint


LAPTOP, CI, EVIL = key("laptop", comment="me@laptop"), key("ci"), key("evil", comment="mallory@evil")


@dataclass
class Person:
    """A client for the `User` of one account."""

    client: Client
    host: FakeAccounts
    homes: Path
    name: str = "alice"

    @property
    def home(self) -> Path:
        return self.homes / self.name

    @property
    def file(self) -> Path:
        return self.home / ".ssh" / "authorized_keys"

    @property
    def rule(self) -> Path:
        return self.host.etc / "sudoers.d" / f"portcullis-{self.name}"

    def desired(self, **more: Any) -> Json:
        return {
            "user": self.name, "keys": {"laptop": LAPTOP}, "sudo": False, "shell": "/bin/sh",
            "password": "none", "key_files": "private", "on_delete": "keep", "login": "deploy", **more,
        }  # fmt: skip

    def put(self, *, adopt: bool = False, guard: int | None = None, **more: Any) -> Json:
        asked = {} if guard is None else {"guard": guard}
        return self.client.on("put", "users.users", self.name, self.desired(**more), adopt=adopt, **asked)

    def refused(self, *, adopt: bool = True, **more: Any) -> AgentError:
        return self.client.refused("put", "users.users", self.name, self.desired(**more), adopt=adopt)

    def remove(self, **more: Any) -> str:
        done: str = self.client.on("remove", "users.users", self.name, self.desired(**more))["done"]
        return done

    def facts(self, **more: Any) -> Json:
        desired = self.desired(**more)
        managed = [name for name in OPTIONAL if desired.get(name) is not None]
        spec = {"user": self.name, "keys": desired["keys"], "managed": managed}
        return self.client.look("users.users", self.name, spec)

    def exists_with(self, *keys: str, uid: int = USER, file: str = ".ssh/authorized_keys") -> None:
        """Let the account exist before the first `up`, with these keys."""
        self.host.useradd(
            [f"--uid={uid}", "--create-home", f"--home-dir={self.home}", "--shell=/bin/sh", "--password=!",
             "--user-group", self.name]
        )  # fmt: skip
        (self.home / ".ssh").mkdir(mode=0o700)
        os.chown(self.home / ".ssh", uid, uid)
        self.write(file, *keys)

    def write(self, file: str, *keys: str) -> None:
        uid = self.home.stat().st_uid
        (self.home / file).write_text("".join(f"{line}\n" for line in keys))
        (self.home / file).chmod(0o600)
        os.chown(self.home / file, uid, uid)


@pytest.fixture
def homes() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="portcullis-homes-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def alice(machine: Machine, tmp_path: Path, homes: Path) -> Iterator[Person]:
    host = FakeAccounts(tmp_path / "etc")
    units = tmp_path / "units"
    (units / "multi-user.target.wants").mkdir(parents=True)
    made = dataclasses.replace(machine, etc=host.etc, homes=homes, run=host, units=units)
    client = Client(made)
    yield Person(client, host, homes)
    client.close()


def test_a_new_user_gets_keys_and_no_password(alice: Person) -> None:
    facts = alice.put(sudo=True)["facts"]
    assert facts.pop("revision")
    assert facts == {
        "exists": True, "keys": {"laptop": LAPTOP}, "key_files": "private", "password": "none",
        "shell": "/bin/sh", "sudo": True,
    }  # fmt: skip
    (added,) = alice.host.said("useradd")
    assert "--password=*" in added, "sshd without PAM treats an account with `!` as locked"
    uid = int(alice.host.field("passwd", "alice", 2))
    for path, mode in ((alice.file, 0o600), (alice.file.parent, 0o700)):
        assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (uid, mode)
    assert alice.rule.read_text().endswith("\nalice ALL=(ALL) NOPASSWD: ALL\n")
    assert stat.S_IMODE(alice.rule.stat().st_mode) == 0o440
    assert alice.put(sudo=True)["steps"] == []


def test_a_delete_removes_keys_and_sudo_and_keeps_account_and_home(alice: Person) -> None:
    alice.put(sudo=True)
    (alice.home / "notes").touch()
    assert alice.remove(sudo=True) == "kept"
    assert not alice.file.exists()
    assert not alice.rule.exists()
    assert alice.host.field("passwd", "alice", 6) == "/bin/sh"
    alice.put()  # nobody uses the account, so the first `up` needs no adopt
    assert alice.remove(on_delete="remove") == "restored", "the account existed before the second create"
    assert alice.host.said("userdel") == []


def test_an_account_that_we_created_can_be_removed_and_its_home_stays(alice: Person) -> None:
    alice.put(sudo=True)
    (alice.home / "notes").touch()
    uid = alice.home.stat().st_uid
    assert alice.remove(sudo=True, on_delete="remove") == "removed"
    assert alice.host.said("userdel") == [["alice"]]
    assert (alice.home / "notes").exists()
    dataclasses.replace(alice, name="bob").put()
    assert int(alice.host.field("passwd", "bob", 2)) != uid, (
        "otherwise bob would own the files that alice has left"
    )
    alice.put()
    assert int(alice.host.field("passwd", "alice", 2)) == uid, "otherwise the home would belong to no account"


def test_a_home_of_another_user_is_not_taken_over(alice: Person) -> None:
    alice.home.mkdir()
    assert "belongs to root" in alice.refused().message


@pytest.mark.parametrize("file", [".ssh/authorized_keys", ".ssh/authorized_keys2"])
def test_an_undeclared_key_has_its_fingerprint_as_name_and_is_removed(alice: Person, file: str) -> None:
    alice.put()
    kept = alice.file.read_text() if file == ".ssh/authorized_keys" else ""
    alice.write(file, *kept.splitlines(), EVIL)
    keys = alice.facts()["keys"]
    assert set(keys) == {"laptop", fingerprint(EVIL)}
    assert keys[fingerprint(EVIL)].startswith(EVIL)
    assert (file in keys[fingerprint(EVIL)]) == (file[-1] == "2"), "the path shows only for another file"
    (step,) = alice.put()["steps"]
    assert step["property"] == f"keys.{fingerprint(EVIL)}"
    assert alice.facts()["keys"] == {"laptop": LAPTOP}
    assert "mallory" not in alice.file.read_text()
    assert not (alice.home / ".ssh/authorized_keys2").exists()


def test_a_key_is_rotated_under_its_label(alice: Person) -> None:
    alice.put()
    alice.put(keys={"laptop": CI})
    assert authorized_keys.parse_all(alice.file.read_text()) == [authorized_keys.parse(CI)]


@pytest.mark.parametrize(
    "line",
    [
        LAPTOP.replace("ssh-ed25519", "ED25519"),
        f"\t {LAPTOP}\r",
        LAPTOP.rpartition(" ")[0],
        LAPTOP.rpartition(" ")[0] + " somebody else",
        LAPTOP.rpartition(" ")[0] + "\0hidden",
    ],
)
def test_a_key_is_the_same_in_every_spelling(alice: Person, line: str) -> None:
    alice.exists_with(line)
    assert alice.facts()["keys"] == {"laptop": LAPTOP}
    assert alice.put()["steps"] == []


def test_options_are_part_of_a_key(alice: Person) -> None:
    narrow = f'from="192.0.2.0/24 ,x\\" y",command="echo \\"hi\\"" {LAPTOP}'
    alice.exists_with(LAPTOP)
    alice.put(keys={"laptop": narrow}, adopt=True)
    assert alice.facts(keys={"laptop": narrow})["keys"] == {"laptop": narrow}
    alice.write(".ssh/authorized_keys", narrow, LAPTOP)
    assert alice.facts(keys={"laptop": narrow})["keys"] == {"laptop": narrow, fingerprint(LAPTOP): LAPTOP}
    alice.write(".ssh/authorized_keys", LAPTOP)
    assert alice.facts(keys={"laptop": narrow})["keys"] == {"laptop": LAPTOP}


@pytest.mark.parametrize("blank", ["\v", "\f", "\r"])
def test_a_key_with_a_blank_that_sshd_ignores_is_found(alice: Person, blank: str) -> None:
    kind, blob, *_ = CI.split()
    alice.exists_with(LAPTOP, f"{kind} {blob[:30]}{blank}{blob[30:]} hidden")
    seen = subprocess.run(["ssh-keygen", "-l", "-f", alice.file], capture_output=True, text=True, check=True)
    assert "hidden" in seen.stdout
    assert set(alice.facts()["keys"]) == {"laptop", fingerprint(CI)}


def test_comments_and_invalid_lines_are_no_keys(alice: Person) -> None:
    alice.exists_with(f"# {EVIL}", "", "ssh-ed25519 AAAA", "hello world", LAPTOP)
    assert alice.facts()["keys"] == {"laptop": LAPTOP}


def test_of_many_keys_the_declared_ones_are_read_and_the_others_counted(alice: Person) -> None:
    alice.exists_with(LAPTOP)
    others = [f'from="{number}" {EVIL}' for number in range(authorized_keys.MOST + 7)]
    alice.write(".ssh/authorized_keys", *others, LAPTOP)
    keys = alice.facts()["keys"]
    assert keys["laptop"] == LAPTOP
    assert keys["more"] == "7 more keys are not shown"
    assert len(keys) == authorized_keys.MOST + 2


def test_existing_keys_need_adopt_and_come_back(alice: Person) -> None:
    alice.exists_with(CI, EVIL)
    before = alice.file.read_bytes()
    error = alice.refused(adopt=False)
    assert error.code == "differs"
    assert alice.file.read_bytes() == before
    alice.put(adopt=True, sudo=True)
    assert alice.facts()["keys"] == {"laptop": LAPTOP}
    assert alice.remove(sudo=True) == "restored"
    assert alice.file.read_bytes() == before
    assert alice.file.stat().st_uid == USER
    assert not alice.rule.exists()


@pytest.mark.parametrize("file", ["passwd", "shadow"])
def test_an_account_of_a_service_or_with_a_password_is_not_taken_over(alice: Person, file: str) -> None:
    alice.exists_with()
    shell, password = ("/usr/sbin/nologin", "*") if file == "passwd" else ("/bin/bash", "$6$secret")
    alice.host._set("passwd", "alice", 6, shell)
    alice.host._set("shadow", "alice", 1, password)
    assert alice.refused(adopt=False).code == "differs"


ODD = {
    "a password": lambda alice: alice.host._set("shadow", "alice", 1, "$6$secret"),
    "an empty password": lambda alice: alice.host._set("shadow", "alice", 1, ""),
    "a group": lambda alice: alice.host.gpasswd(["-a", "alice", "games"]),
    "no shell": lambda alice: alice.host._set("passwd", "alice", 6, "/usr/sbin/nologin"),
    "sudo": lambda alice: alice.rule.write_text("alice ALL=(ALL) ALL\n"),
    "keys of others": lambda alice: alice.file.parent.chmod(0o777),
    "a key": lambda alice: alice.write(".ssh/authorized_keys", CI),
}


@pytest.mark.parametrize("odd", ["nothing", *ODD])
def test_only_an_unused_account_is_taken_over_without_adopt(alice: Person, odd: str) -> None:
    alice.exists_with()
    alice.host._set("shadow", "alice", 1, "*")
    wanted = {"groups": {"docker": "member"}, "shell": "/bin/bash"}
    if odd == "nothing":
        alice.put(**wanted)
    else:
        ODD[odd](alice)
        assert alice.refused(adopt=False, **wanted).code == "differs"


def test_an_account_with_a_missing_shell_is_not_created(alice: Person) -> None:
    nope = {"shell": "/bin/nope"}
    assert "/bin/nope does not exist" in alice.refused(**nope).message
    assert alice.host.said("useradd") == []


def test_the_delete_of_a_missing_account_removes_its_rule(alice: Person) -> None:
    alice.put(sudo=True)
    alice.host.userdel(["alice"])
    assert alice.remove(sudo=True) == "absent"
    assert not alice.rule.exists()


def test_the_delete_of_the_user_that_deploys_needs_no_undo(alice: Person) -> None:
    alice.put(login="alice", sudo=True)
    desired = alice.desired(login="alice", sudo=True)
    done = alice.client.on("remove", "users.users", "alice", desired, guard=60)
    assert done == {"done": "kept"}


def test_a_system_account_is_created_with_a_system_number(alice: Person) -> None:
    service = {"system": True, "shell": "/usr/sbin/nologin"}
    alice.put(**service)
    (added,) = alice.host.said("useradd")
    assert added == [
        "--create-home", f"--home-dir={alice.home}", "--shell=/usr/sbin/nologin", "--password=*", "--system",
        "--user-group", "alice",
    ]  # fmt: skip


def test_an_existing_group_of_that_name_becomes_the_primary_group(alice: Person) -> None:
    alice.host.groupadd(["--gid=777", "alice"])
    alice.put(shell=None)
    (added,) = alice.host.said("useradd")
    assert added[-2:] == ["--gid=alice", "alice"]
    assert "--shell=/bin/bash" in added
    assert "--system" not in added


def test_an_account_with_processes_is_deleted_after_they_have_ended(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.put()
    left = ["busy", "busy"]
    delete = alice.host.userdel

    def busy(argv: list[str]) -> None:
        if left:
            raise AgentError("user", left.pop())
        delete(argv)

    monkeypatch.setattr(alice.host, "userdel", busy, raising=False)
    assert alice.remove(on_delete="remove") == "removed"
    assert left == []
    assert alice.host.said("loginctl") == [["terminate-user", "alice"]]
    assert alice.host.said("userdel") == [["alice"]] * 3


def test_an_account_whose_processes_do_not_end_is_an_error(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.put()
    monkeypatch.setattr(users, "_END_LIMIT", 0.1)
    alice.host.fail["userdel"] = "userdel: user alice is currently used by process 7"
    error = alice.client.refused("remove", "users.users", "alice", alice.desired(on_delete="remove"))
    assert "used by process 7" in error.detail


def test_the_record_of_an_account_has_all_that_a_restore_needs(alice: Person) -> None:
    """A later version must be able to read the record, so the record's form must not change."""
    alice.put()
    store = Store(alice.client.machine.state)
    record = store.load("users.users", "alice")
    assert record is not None
    assert record.original == {"type": "absent", "sudoers": {"type": "absent"}, "files": [], "let_in": []}
    bob = dataclasses.replace(alice, name="bob")
    bob.exists_with(CI)
    bob.host.gpasswd(["-a", "bob", "games"])
    bob.put(adopt=True)
    record = store.load("users.users", "bob")
    assert record is not None
    parsed = authorized_keys.parse(CI)
    assert parsed is not None
    files = record.original.pop("files")
    assert [file["path"] for file in files] == [str(bob.file), f"{bob.file}2"]
    assert [file["kept"]["type"] for file in files] == ["file", "absent"]
    assert record.original == {
        "type": "user", "sudoers": {"type": "absent"}, "let_in": [parsed.blob], "shell": "/bin/sh",
        "groups": ["games"],
    }  # fmt: skip
    assert record.extra["files"] == [str(bob.file), f"{bob.file}2"]


def test_keys_are_written_where_sshd_reads_them(alice: Person) -> None:
    alice.host.keys_file = f"{alice.host.etc}/keys/%u .ssh/authorized_keys"
    (alice.host.etc / "keys").mkdir()
    alice.exists_with(CI)
    alice.put(adopt=True)
    path = alice.host.etc / "keys" / "alice"
    assert LAPTOP in path.read_text()
    assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (0, 0o644)
    assert not alice.file.exists()
    alice.remove()
    assert alice.file.read_text() == f"{CI}\n"
    assert not path.exists()


def test_key_files_that_others_can_write_are_drift(alice: Person) -> None:
    alice.put()
    alice.file.parent.chmod(0o777)
    alice.file.chmod(0o644)
    alice.home.chmod(0o775)
    said = alice.facts()["key_files"]
    for path in (alice.home, alice.file.parent, alice.file):
        assert f"{path} " in said
    alice.put()
    assert alice.facts()["key_files"] == "private"
    assert stat.S_IMODE(alice.home.stat().st_mode) == 0o755


def test_a_password_is_drift_and_gets_locked_not_deleted(alice: Person) -> None:
    alice.exists_with(LAPTOP)
    alice.host._set("shadow", "alice", 1, "$6$secret")
    assert alice.facts()["password"] == "set"
    assert alice.refused(adopt=False).prop == "password"
    alice.put(adopt=True)
    assert alice.host.field("shadow", "alice", 1) == "!$6$secret"
    assert not any("secret" in word for call in alice.host.calls for word in call)
    alice.remove()
    assert alice.host.field("shadow", "alice", 1) == "$6$secret"
    alice.host._set("shadow", "alice", 1, "")
    alice.put(adopt=True)
    assert alice.host.field("shadow", "alice", 1) == "*"


def test_shell_and_groups_are_read_back_and_restored(alice: Person) -> None:
    alice.exists_with(LAPTOP)
    alice.host.gpasswd(["-a", "alice", "games"])
    declared = {"groups": {"docker": "member"}, "shell": "/bin/bash"}
    alice.put(adopt=True, **declared)
    assert alice.facts(groups={})["groups"] == {"docker": "member"}
    assert alice.host.field("passwd", "alice", 6) == "/bin/bash"
    alice.remove(**declared)
    assert alice.facts(groups={})["groups"] == {"games": "member"}
    assert alice.host.field("passwd", "alice", 6) == "/bin/sh"
    nope = {"shell": "/bin/nope"}
    assert "/bin/nope does not exist" in alice.refused(**nope).message


def test_a_missing_group_is_created(alice: Person) -> None:
    alice.put(groups={"later": "member"})
    assert alice.facts(groups={})["groups"] == {"later": "member"}
    assert alice.host.said("groupadd") == [["--system", "later"]]


def test_an_edited_rule_is_drift_and_its_text_is_shown(alice: Person) -> None:
    alice.put(sudo=True)
    alice.rule.chmod(0o640)
    assert "mode 0640" in alice.facts()["sudo"]
    alice.rule.write_text("mallory ALL=(ALL) NOPASSWD: ALL\n")
    assert "mallory ALL" in alice.facts()["sudo"]
    alice.put(sudo=True)
    assert alice.facts()["sudo"] is True
    alice.put(sudo=False)
    assert not alice.rule.exists()


def test_a_rule_that_visudo_refuses_is_removed_again(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    alice.put()

    def visudo(argv: list[str]) -> None:
        if "-f" not in argv and alice.rule.exists():
            alice.host.fail["visudo"] = "parse error near line 2"

    monkeypatch.setattr(alice.host, "visudo", visudo, raising=False)
    original = FakeAccounts.__call__

    def call(host: FakeAccounts, argv: list[str], **more: Any) -> Done:
        host.fail.pop("visudo", None)
        done = original(host, argv, **more)
        return Done(1, "", host.fail["visudo"]) if "visudo" in host.fail else done

    monkeypatch.setattr(FakeAccounts, "__call__", call)
    error = alice.refused(sudo=True)
    assert (error.code, error.detail) == ("test-failed", "parse error near line 2")
    assert not alice.rule.exists()


def test_without_sudo_the_message_says_what_to_install(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = FakeAccounts.__call__

    def call(host: FakeAccounts, argv: list[str], **more: Any) -> Done:
        if argv[0] == "visudo":
            raise AgentError("invalid", "there is no program visudo on the host")
        return original(host, argv, **more)

    monkeypatch.setattr(FakeAccounts, "__call__", call)
    assert "`Packages` resource with sudo" in alice.refused(sudo=True).hint


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"keys": {}}, "this user would have no key any more"),
        ({"shell": "/usr/sbin/nologin"}, "refuses every login"),
        ({"sudo": False}, "could not become root"),
    ],
)
def test_a_change_that_locks_out_the_user_that_deploys_is_refused(
    alice: Person, more: Json, said: str
) -> None:
    """dev-sec/ansible-collection-hardening#854: after the hardening nobody could log in any more."""
    alice.put(login="alice", sudo=True)
    error = alice.refused(login="alice", **{"sudo": True, **more})
    assert error.code == "lock-out"
    assert said in error.message
    assert alice.facts()["keys"] == {"laptop": LAPTOP}
    alice.put(login="deploy", **{"sudo": True, **more, "shell": "/bin/sh"})


def test_which_changes_need_a_login_to_confirm(alice: Person) -> None:
    assert "guard" not in alice.put(guard=60), "it only lets in one more user"
    assert "guard" not in alice.put(guard=60, keys={"laptop": LAPTOP, "ci": CI})
    assert "guard" in alice.put(guard=60, keys={"ci": CI})
    assert "guard" in alice.put(guard=60, keys={"ci": CI}, login="alice", sudo=True), (
        "the deploy logs in with this key"
    )


def test_an_undone_creation_leaves_no_trace(alice: Person) -> None:
    guard = alice.put(guard=60, login="alice", sudo=True)["guard"]
    assert alice.client.ask("rollback", guard=guard)["failed"] == []
    assert alice.host.said("userdel") == [["-f", "-r", "alice"]]
    assert not alice.home.exists()
    assert not alice.rule.exists()
    assert alice.facts() == {"exists": False}


def test_an_undo_does_not_delete_an_account_that_somebody_else_created(alice: Person) -> None:
    change = accounts.change

    def slower(machine: Machine, *argv: str, prop: str = "user") -> None:
        if argv[0] == "useradd":
            alice.exists_with(LAPTOP)
            alice.host.fail["useradd"] = "useradd: user 'alice' already exists"
        change(machine, *argv, prop=prop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "change", slower)
        with pytest.raises(AgentError, match="useradd failed"):
            alice.put(guard=60, login="alice", sudo=True)
    assert alice.host.said("userdel") == []
    assert alice.file.read_text() == f"{LAPTOP}\n"


def test_an_undo_deletes_only_an_account_that_we_created(tmp_path: Path) -> None:
    note, script = tmp_path / "made", ("sh", "-c", users._IF_MADE)
    command = (*script, str(note), "touch", str(tmp_path / "deleted"))
    assert run(command, timeout=10).code == 0
    assert not (tmp_path / "deleted").exists()
    note.touch()
    assert run(command, timeout=10).code == 0
    assert (tmp_path / "deleted").exists()


@pytest.mark.parametrize("end", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_only_a_line_feed_ends_a_line_of_passwd(alice: Person, end: str) -> None:
    """With other line ends, a user could hide an account with chfn: it would seem not to exist."""
    alice.exists_with(LAPTOP)
    path = alice.host.etc / "passwd"
    lines = path.read_text().replace("alice:x", f"eve:x:0:0:a{end}:/root:/bin/sh\nalice:x")
    path.write_bytes(lines.replace("::/home", f":Al{end}ice:/home").encode())
    known = accounts.read(alice.client.machine).accounts
    assert sorted(known) == ["alice", "eve", "root"]
    assert known["eve"].uid == 0


def test_an_undo_restores_keys_shell_groups_and_password(alice: Person) -> None:
    alice.exists_with(CI)
    alice.host._set("shadow", "alice", 1, "$6$secret")
    alice.host.gpasswd(["-a", "alice", "games"])
    before = {name: (alice.host.etc / name).read_text() for name in ("passwd", "shadow", "group")}
    more = {"groups": {"docker": "member"}, "shell": "/bin/bash", "sudo": True}
    guard = alice.put(guard=60, adopt=True, login="alice", **more)["guard"]
    assert alice.client.ask("rollback", guard=guard)["failed"] == []
    assert alice.file.read_text() == f"{CI}\n"
    assert not alice.rule.exists()
    assert {name: (alice.host.etc / name).read_text() for name in before} == before


def test_an_undone_removal_restores_the_access(alice: Person) -> None:
    alice.put(sudo=True)
    before = (alice.file.read_text(), alice.rule.read_text(), alice.host.lines("passwd"))
    desired = alice.desired(sudo=True, on_delete="remove")
    guard = alice.client.on("remove", "users.users", "alice", desired, guard=60)["guard"]
    assert not alice.rule.exists()
    alice.client.ask("rollback", guard=guard)
    assert (alice.file.read_text(), alice.rule.read_text(), alice.host.lines("passwd")) == before
    assert alice.put(sudo=True)["steps"] == []


def test_destroy_keeps_the_user_that_deploys(alice: Person) -> None:
    alice.put(login="alice", sudo=True)
    assert alice.remove(login="alice", sudo=True, on_delete="remove") == "kept"
    assert LAPTOP in alice.file.read_text()
    assert alice.rule.exists()


def test_a_destroy_restores_the_former_keys_if_they_let_us_in(alice: Person) -> None:
    alice.exists_with(LAPTOP, CI)
    alice.put(login="alice", sudo=True, adopt=True)
    assert alice.remove(login="alice", sudo=True) == "restored"
    assert alice.file.read_text() == f"{LAPTOP}\n{CI}\n"
    assert alice.rule.exists(), "the destroy goes on with logins of this user"


def test_a_link_in_place_of_the_folder_is_drift_and_is_removed(alice: Person, tmp_path: Path) -> None:
    roots = tmp_path / "root"
    roots.mkdir(mode=0o700)
    (roots / "authorized_keys").write_text(f"{EVIL}\n")
    alice.put()
    shutil.rmtree(alice.file.parent)
    alice.file.parent.symlink_to(roots)
    facts = alice.facts()
    assert facts["key_files"] == f"{alice.file.parent} is a symbolic link"
    assert facts["keys"] == {}, "the link's target is not read"
    alice.put()
    assert LAPTOP in alice.file.read_text()
    assert not alice.file.parent.is_symlink()
    assert (roots / "authorized_keys").read_text() == f"{EVIL}\n"
    assert (roots.stat().st_uid, stat.S_IMODE(roots.stat().st_mode)) == (0, 0o700)


def test_a_link_in_place_of_the_folder_of_the_user_that_deploys_is_refused(
    alice: Person, tmp_path: Path
) -> None:
    alice.put(login="alice", sudo=True)
    roots = tmp_path / "root"
    roots.mkdir(mode=0o700)
    shutil.move(alice.file, roots / "authorized_keys")
    alice.file.parent.rmdir()
    alice.file.parent.symlink_to(roots)
    error = alice.refused(login="alice", sudo=True)
    assert (error.code, error.prop) == ("lock-out", "key_files")
    assert "is a symbolic link: an undo could not restore that link" in error.message
    assert alice.file.parent.is_symlink(), "it leads to the key that this session uses"
    assert LAPTOP in (roots / "authorized_keys").read_text()


@pytest.mark.parametrize("what", ["link", "pipe"])
def test_a_link_or_pipe_in_place_of_the_file_is_replaced(alice: Person, tmp_path: Path, what: str) -> None:
    (tmp_path / "secret").write_text(f"{EVIL}\n")
    alice.put()
    alice.file.unlink()
    if what == "link":
        alice.file.symlink_to(tmp_path / "secret")
    else:
        os.mkfifo(alice.file)
    assert str(alice.file) in alice.facts()["key_files"]
    alice.put()
    assert (tmp_path / "secret").read_text() == f"{EVIL}\n"
    assert LAPTOP in alice.file.read_text()


def test_a_folder_of_root_that_the_user_moved_there_stays_roots(alice: Person) -> None:
    alice.put()
    alice.file.parent.rename(alice.home / "gone")
    (alice.home / "backup").mkdir(mode=0o700)
    (alice.home / "backup").rename(alice.file.parent)
    assert "belongs to root, not to alice" in alice.refused().message
    assert alice.file.parent.stat().st_uid == 0


def test_a_folder_of_root_that_is_moved_there_after_the_read_stays_roots(alice: Person) -> None:
    alice.put()
    account = accounts.read(alice.client.machine).accounts["alice"]
    state = key_files.look(account, [alice.file])
    alice.file.parent.rename(alice.home / "gone")
    (alice.home / ".ssh").mkdir(mode=0o700)
    with pytest.raises(AgentError, match="belongs to root, not to alice"):
        key_files.write(account, state, "")
    assert alice.file.parent.stat().st_uid == 0
    assert list(alice.file.parent.iterdir()) == []


def test_no_file_is_removed_through_a_link_that_was_made_after_the_read(
    alice: Person, tmp_path: Path
) -> None:
    alice.put()
    (tmp_path / "authorized_keys2").write_text(f"{EVIL}\n")
    account = accounts.read(alice.client.machine).accounts["alice"]
    state = key_files.look(account, [alice.file, alice.file.with_name("authorized_keys2")])
    alice.file.parent.rename(alice.home / "gone")
    (alice.home / ".ssh").symlink_to(tmp_path)
    key_files.write(account, state, f"{LAPTOP}\n")
    assert (tmp_path / "authorized_keys2").exists()
    assert alice.file.read_text() == f"{LAPTOP}\n"
    assert not alice.file.parent.is_symlink()


def test_a_link_of_the_user_does_not_block_a_destroy(alice: Person, tmp_path: Path) -> None:
    alice.put()
    shutil.rmtree(alice.file.parent)
    (tmp_path / "authorized_keys").write_text(f"{EVIL}\n")
    alice.file.parent.symlink_to(tmp_path)
    assert alice.remove() == "kept"
    assert (tmp_path / "authorized_keys").exists()


def test_race_of_a_user_who_swaps_the_folder_for_roots_folder(alice: Person, tmp_path: Path) -> None:
    roots = tmp_path / "root"
    roots.mkdir(mode=0o700)
    (roots / "authorized_keys").write_text(f"{EVIL}\n")
    (roots / "authorized_keys").chmod(0o600)
    tmp_path.chmod(0o755)
    alice.exists_with(LAPTOP)
    ssh, real = alice.file.parent, alice.home / "real"

    def attack() -> None:
        ssh.rename(real)
        ssh.symlink_to(roots)
        ssh.unlink()
        real.rename(ssh)

    end, rounds = time.monotonic() + RACE, 0
    with attacker(attack):
        while time.monotonic() < end or not rounds:
            with contextlib.suppress(AgentError):
                alice.put(keys={"laptop": CI if rounds % 2 else LAPTOP}, adopt=True)
                rounds += 1
            assert [path.name for path in roots.iterdir()] == ["authorized_keys"]
            for path, mode in ((roots, 0o700), (roots / "authorized_keys", 0o600)):
                status = path.stat()
                assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, mode)
            assert (roots / "authorized_keys").read_text() == f"{EVIL}\n"


def test_for_root_only_the_keys_are_managed(alice: Person) -> None:
    root = dataclasses.replace(alice, name="root")
    root.home.mkdir(mode=0o700)
    alice.host._set("passwd", "root", 5, str(root.home))
    alice.host._set("shadow", "root", 1, "$6$console")
    bare = {"sudo": None, "shell": None, "password": None}
    (root.home / ".ssh").mkdir(mode=0o700)
    (root.home / ".ssh/authorized_keys").write_text(f"{CI}\n")
    root.put(adopt=True, **bare)
    assert root.facts(**bare)["keys"] == {"laptop": LAPTOP}
    assert alice.host.field("shadow", "root", 1) == "$6$console", (
        "root uses this password at the provider's console"
    )
    root.remove(**bare)
    assert (root.home / ".ssh/authorized_keys").read_text() == f"{CI}\n"


@pytest.fixture
def root(alice: Person) -> Person:
    """Return root with the key of its first login."""
    made = dataclasses.replace(alice, name="root")
    (made.home / ".ssh").mkdir(parents=True, mode=0o700)
    alice.host._set("passwd", "root", 5, str(made.home))
    made.write(".ssh/authorized_keys", LAPTOP)
    return made


NO_KEYS: dict[str, Any] = {"keys": {}, "login": "alice", "sudo": None, "shell": None, "password": None}


def test_a_key_of_root_goes_without_adopt_if_a_declared_user_has_it(alice: Person, root: Person) -> None:
    assert root.refused(adopt=False, **NO_KEYS).code == "differs", "no declared user has the key yet"
    alice.put(keys={"laptop": f"{LAPTOP} of another comment"}, sudo=True, login="alice")
    done = root.put(guard=60.0, **NO_KEYS)
    assert [step["property"] for step in done["steps"]] == [f"keys.{fingerprint(LAPTOP)}"]
    assert done["guard"], "the key comes back unless somebody logs in again"
    assert root.facts(**NO_KEYS)["keys"] == {}
    root.client.ask("rollback", guard=done["guard"])
    assert set(root.facts(**NO_KEYS)["keys"]) == {fingerprint(LAPTOP)}


def test_an_undeclared_key_of_root_stays_until_it_is_declared_or_adopted(alice: Person, root: Person) -> None:
    alice.put(sudo=True, login="alice")
    root.write(".ssh/authorized_keys", LAPTOP, CI)
    error = root.refused(adopt=False, **NO_KEYS)
    assert error.code == "differs"
    assert fingerprint(CI) in error.message
    assert error.hint.startswith(
        "declare the key under `keys` of the user root to keep it, or set adopt=True"
    )
    root.put(**{**NO_KEYS, "keys": {"ci": CI}})
    assert root.facts(**{**NO_KEYS, "keys": {"ci": CI}})["keys"] == {"ci": CI}


def test_a_key_that_somebody_gives_root_later_is_shown_and_removed(alice: Person, root: Person) -> None:
    alice.put(sudo=True, login="alice")
    root.put(**NO_KEYS)
    root.write(".ssh/authorized_keys", EVIL)
    assert set(root.facts(**NO_KEYS)["keys"]) == {fingerprint(EVIL)}
    root.put(**NO_KEYS)
    assert root.facts(**NO_KEYS)["keys"] == {}


NOBODY_ELSE = 47211
"""A user number that no process of this machine has: the test ends every process with this number."""


@pytest.fixture
def session() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process of the user, as sshd does for each connection."""
    made = subprocess.Popen(["sleep", "600"], user=NOBODY_ELSE)
    yield made
    made.kill()
    made.wait()


@pytest.mark.parametrize("change", ["changed", "taken away", "deleted"])
def test_a_session_ends_with_its_key(
    alice: Person, session: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(accounts, "_KILL_AFTER", 0.0)
    alice.exists_with(LAPTOP, uid=NOBODY_ELSE)
    alice.put(adopt=True, sessions="current", keys={"laptop": LAPTOP})
    alice.put(sessions="current", keys={"laptop": LAPTOP, "ci": CI})
    assert session.poll() is None, "an added key ends no session"
    if change == "deleted":
        assert alice.remove(sessions="current") == "restored"
    else:
        left = {"laptop": f"restrict {LAPTOP}", "ci": CI} if change == "changed" else {"ci": CI}
        facts = alice.put(sessions="current", keys=left)["facts"]
        assert facts["sessions"] == "current"
    assert session.wait(timeout=60) == -signal.SIGKILL
    assert alice.host.said("loginctl") == [["terminate-user", "alice"]]


def test_sessions_left_by_an_interrupted_run_show_and_end(
    alice: Person, session: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "_KILL_AFTER", 0.0)
    alice.exists_with(LAPTOP, uid=NOBODY_ELSE)
    alice.put(adopt=True, sessions="current")

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(accounts, "end_sessions", cut_off)
        with pytest.raises(KeyboardInterrupt):
            alice.put(sessions="current", keys={"ci": CI})
    wanted = {"sessions": "current", "keys": {"ci": CI}}
    assert alice.facts(**wanted)["sessions"] == "from before the keys changed"
    assert [step["property"] for step in alice.put(**wanted)["steps"]] == ["sessions"]
    assert session.wait(timeout=60) == -signal.SIGKILL
    assert alice.facts(**wanted)["sessions"] == "current"


def test_the_sessions_of_the_user_that_deploys_are_never_ended(
    alice: Person, session: subprocess.Popen[bytes]
) -> None:
    alice.exists_with(LAPTOP, uid=NOBODY_ELSE)
    for keys in ({"laptop": LAPTOP}, {"ci": CI}):
        alice.put(adopt=True, sessions="current", sudo=None, login="alice", keys=keys, guard=600)
    assert session.poll() is None
