"""`up` removes each undeclared way to become root.

A delete of the resource restores each way that existed before the first `up`.
"""

from __future__ import annotations

import dataclasses
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components.users.on_host import sudoers
from tests.components.users.fake_accounts import SUDOERS, FakeAccounts
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portcullis.agent.errors import AgentError
    from portcullis.agent.machine import Machine

Json = dict[str, Any]
EVE = "eve ALL=(ALL) NOPASSWD: ALL"


@dataclass
class Doors:
    """A client for the `Administrators` of one host. The declared user `deploy` logs in."""

    client: Client
    host: FakeAccounts

    def desired(self, **more: Any) -> Json:
        return {"users": {"deploy": "declared"}, "files": {}, "undeclared": {}, "login": "deploy", **more}

    def put(self, *, adopt: bool = False, **more: Any) -> Json:
        desired = self.desired(**more)
        return self.client.on("put", "users.administrators", "administrators", desired, adopt=adopt)

    def refused(self, *, adopt: bool = True, **more: Any) -> AgentError:
        desired = self.desired(**more)
        return self.client.refused("put", "users.administrators", "administrators", desired, adopt=adopt)

    def remove(self) -> str:
        desired = self.desired()
        done: str = self.client.on("remove", "users.administrators", "administrators", desired)["done"]
        return done

    def undeclared(self, **more: Any) -> Json:
        desired = self.desired(**more)
        spec = {"users": [*desired["users"]], "files": [*desired["files"]], "login": desired["login"]}
        facts: Json = self.client.look("users.administrators", "administrators", spec)["undeclared"]
        return facts

    def account(self, name: str, uid: int, *, group: int | None = None) -> None:
        gid = uid if group is None else group
        with (self.host.etc / "passwd").open("a") as file:
            file.write(f"{name}:x:{uid}:{gid}::/home/{name}:/bin/bash\n")
        with (self.host.etc / "group").open("a") as file:
            file.write(f"{name}:x:{uid}:\n" if uid else "")

    def fragment(self, name: str, text: str = f"{EVE}\n") -> Path:
        path = self.host.etc / "sudoers.d" / name
        path.write_text(text)
        path.chmod(0o440)
        return path

    @property
    def sudoers(self) -> Path:
        return self.host.etc / "sudoers"


@pytest.fixture
def doors(machine: Machine, tmp_path: Path) -> Iterator[Doors]:
    host = FakeAccounts(tmp_path / "etc")
    units = tmp_path / "units"
    (units / "multi-user.target.wants").mkdir(parents=True)
    client = Client(dataclasses.replace(machine, etc=host.etc, run=host, units=units))
    made = Doors(client, host)
    made.account("deploy", 1000)
    made.account("eve", 1001)
    made.fragment("portcullis-deploy", sudoers.rule_text("deploy"))
    yield made
    client.close()


def test_a_host_as_shipped_has_no_undeclared_way(doors: Doors) -> None:
    assert doors.undeclared() == {}
    doors.sudoers.write_text(SUDOERS.replace("@includedir", "#includedir"))
    assert doors.undeclared() == {}
    assert doors.put()["steps"] == []


def test_every_way_to_become_root_is_one_line_and_is_removed(doors: Doors) -> None:
    doors.put()
    doors.account("toor", 0, group=0)
    doors.account("primary", 1002, group=27)
    for group in ("sudo", "docker"):
        doors.host.gpasswd(["-a", "eve", group])
    doors.fragment("backdoor")
    doors.sudoers.write_text(f"{SUDOERS}# mine\n%games ALL=\\\n  (ALL) ALL\n")
    doors.sudoers.chmod(0o440)
    assert doors.undeclared() == {
        "group sudo: eve": "member",
        "group sudo: primary": "member by its primary group",
        "group docker: eve": "member",
        "uid 0: toor": "a second root, with the shell /bin/bash",
        f"{doors.sudoers}: %games ALL= (ALL) ALL": "rule",
        f"{doors.host.etc}/sudoers.d/backdoor": EVE,
    }
    doors.put()
    assert doors.undeclared() == {}
    assert doors.sudoers.read_text() == f"{SUDOERS}# mine\n"
    assert stat.S_IMODE(doors.sudoers.stat().st_mode) == 0o440
    assert doors.host.said("userdel") == [["-f", "toor"]]
    assert doors.host.field("passwd", "primary", 3) == "1002"


def test_the_first_removal_needs_adopt(doors: Doors) -> None:
    path = doors.fragment("90-cloud-init-users", f"# made\n{EVE}\n")
    error = doors.refused(adopt=False)
    assert error.code == "differs"
    assert EVE in error.message
    assert path.exists()


def test_ways_from_before_the_first_up_come_back_and_later_ones_do_not(doors: Doors) -> None:
    path = doors.fragment("90-cloud-init-users", f"# made\n{EVE}\n")
    doors.sudoers.write_text(f"{EVE}\n{SUDOERS}")
    doors.host.gpasswd(["-a", "eve", "docker"])
    doors.account("toor", 0, group=0)
    before = {name: (doors.host.etc / name).read_text() for name in ("sudoers", "passwd", "group")}
    doors.put(adopt=True)
    assert not path.exists()
    doors.fragment("backdoor")
    doors.host.gpasswd(["-a", "eve", "sudo"])
    doors.put()
    assert doors.remove() == "restored"
    assert path.read_text() == f"# made\n{EVE}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o440
    assert not (path.parent / "backdoor").exists()
    assert {name: (doors.host.etc / name).read_text() for name in before} == before


def test_a_later_edit_stays_when_the_former_rules_come_back(doors: Doors) -> None:
    doors.sudoers.write_text(f"{EVE}\n{SUDOERS}")
    doors.put(adopt=True)
    doors.sudoers.write_text(SUDOERS + "Defaults insults\n")
    doors.remove()
    assert doors.sudoers.read_text() == f"{SUDOERS}Defaults insults\n{EVE}\n"


def test_a_copy_of_a_removed_file_is_on_the_host(doors: Doors) -> None:
    doors.put()
    doors.fragment("backdoor")
    doors.put()
    (copy,) = doors.client.machine.state.rglob("aside-0")
    assert copy.read_text() == f"{EVE}\n"


def test_root_and_the_user_that_deploys_lose_no_right(doors: Doors) -> None:
    for name in ("deploy", "root"):
        doors.host.gpasswd(["-a", name, "sudo"])
    doors.fragment("90-cloud-init-users", "# User rules\ndeploy ALL=(ALL) NOPASSWD:ALL\n")
    (doors.host.etc / "sudoers.d" / "portcullis-deploy").unlink()
    assert doors.undeclared(users={}) == {}, "the user that deploys has no other way to become root"


def test_the_old_rule_of_the_user_that_deploys_goes_only_when_our_rule_exists(doors: Doors) -> None:
    path = doors.fragment("90-cloud-init-users", "deploy ALL=(ALL) NOPASSWD:ALL\n")
    ours = doors.host.etc / "sudoers.d" / "portcullis-deploy"
    ours.unlink()
    error = doors.refused()
    assert error.code == "lock-out"
    assert 'User("deploy", sudo=True)' in error.hint
    doors.fragment("portcullis-deploy", sudoers.rule_text("deploy"))
    doors.put(adopt=True)
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (f"# harmless \\\n{EVE}\n", [EVE]),
        ("#1001 ALL=(ALL) ALL\n", ["#1001 ALL=(ALL) ALL"]),
        ("#include /tmp/x\n", ["#include /tmp/x"]),
        ("eve\tALL=(ALL) \\\n   ALL\n", ["eve ALL=(ALL) ALL"]),
        ("#comment\n\n  # and another\n", []),
        ("Defaults !authenticate", ["Defaults !authenticate"]),
    ],
)
def test_a_line_that_only_looks_like_a_comment_is_a_rule(doors: Doors, text: str, rules: list[str]) -> None:
    assert sudoers.lines(text) == rules
    doors.fragment("x", text)
    assert bool(doors.undeclared()) == bool(rules)
    assert sudoers.lines(sudoers.without(f"{SUDOERS}{text}", set(rules))) == sudoers.lines(SUDOERS)


def test_files_that_sudo_does_not_read_are_left_alone(doors: Doors) -> None:
    for name in ("x.bak", "x~"):
        doors.fragment(name)
    assert doors.undeclared() == {}


def test_a_link_counts_because_sudo_follows_it(doors: Doors, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(f"{EVE}\n")
    link = doors.host.etc / "sudoers.d" / "link"
    link.symlink_to(tmp_path / "elsewhere")
    (link.parent / "folder").mkdir()
    assert doors.undeclared() == {str(link): "a symbolic link"}
    doors.put(adopt=True)
    assert not link.is_symlink()
    doors.remove()
    assert link.readlink() == tmp_path / "elsewhere"


def test_an_undeclared_file_with_our_prefix_counts(doors: Doors) -> None:
    path = doors.fragment("portcullis-eve", sudoers.rule_text("eve"))
    assert list(doors.undeclared()) == [str(path)]
    assert doors.undeclared(users={"deploy": "declared", "eve": "declared"}) == {}
    path.write_text(sudoers.rule_text("eve") + EVE)
    assert list(doors.undeclared(users={"deploy": "declared", "eve": "declared"})) == [str(path)]


def test_files_of_other_resources_do_not_count(doors: Doors) -> None:
    path = doors.fragment("backup")
    assert doors.undeclared(files={str(path): "declared"}) == {}


def test_an_undo_restores_every_right(doors: Doors) -> None:
    doors.put()
    path = doors.fragment("backdoor")
    doors.host.gpasswd(["-a", "eve", "docker"])
    before, desired = doors.undeclared(), doors.desired()
    guard = doors.client.on("put", "users.administrators", "administrators", desired, guard=60)["guard"]
    assert not path.exists()
    assert doors.client.ask("rollback", guard=guard)["failed"] == []
    assert doors.undeclared() == before


def test_a_rule_that_other_files_need_is_kept(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other files use an alias that this file defines.

    So visudo refuses the removal, and the file comes back.
    """
    path = doors.fragment("alias", "User_Alias OPS = eve\n")
    original = FakeAccounts.__call__

    def call(host: FakeAccounts, argv: list[str], **more: Any) -> Any:
        host.fail = {} if path.exists() else {"visudo": 'User_Alias "OPS" referenced but not defined'}
        return original(host, argv, **more)

    monkeypatch.setattr(FakeAccounts, "__call__", call)
    assert doors.refused().code == "test-failed"
    assert path.read_text() == "User_Alias OPS = eve\n"
