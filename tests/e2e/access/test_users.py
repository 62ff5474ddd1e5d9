"""Tests users on a real host: their logins by key, changes of their keys and rights by hand, and a destroy.

The host is like a new VPS: root has a key, an old user can become root, and no user deploy exists.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.pytest_lab import Host

PROGRAM = """
from portcullis.components import Administrators, User

def after(*things):
    return pulumi.ResourceOptions(depends_on=list(things))

deploy = User("deploy", host="web1", user="deploy", sudo=True, keys={deploy!r})
alice = User("alice", host="web1", user="alice", keys={alice!r})
ops = User("ops", host="web1", user="ops", keys={ops!r}, sudo=True, on_delete="remove")
root = User("root", host="web1", user="root", keys={{"lab": {lab!r}}}, adopt=True, opts=after(deploy))
Administrators("administrators", host="web1", users=["deploy", "ops"], adopt={adopt}, opts=after(deploy, ops))
"""
OLD_RULE = "/etc/sudoers.d/90-from-before"


@dataclass
class Standing:
    """A deployed stack, and the keys of all users."""

    host: Host
    project: Project
    folder: Path

    def key(self, name: str) -> str:
        """Return the public key of that name, made when first asked for."""
        path = self.folder / name
        if not path.exists():
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@somewhere", "-f", str(path)]
            subprocess.run(argv, check=True, timeout=120)
        return path.with_suffix(".pub").read_text().strip()

    def fingerprint(self, name: str) -> str:
        self.key(name)
        done = subprocess.run(
            ["ssh-keygen", "-l", "-f", str(self.folder / f"{name}.pub")],
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        return done.stdout.split()[1]

    @property
    def lab_key(self) -> str:
        """Return the public half of the key that this machine logs in with."""
        return self.host.identity_file.with_suffix(".pub").read_text().strip()

    def declare(
        self, *, adopt: bool = True, deploy: dict[str, str] | None = None, alice: str = "alice"
    ) -> Project:
        text = PROGRAM.format(
            deploy={"lab": self.lab_key} if deploy is None else deploy,
            alice={"laptop": self.key(alice)},
            ops={"ops": self.key("ops")},
            # The key of the VPS provider, with another comment: it counts as the same key.
            lab=self.lab_key.rsplit(" ", 1)[0] + " owner@laptop",
            adopt=adopt,
        )
        return self.project.program(text, user="deploy", bootstrap_user="root")

    def login(self, user: str, key: Path, *command: str) -> subprocess.CompletedProcess[str]:
        options = (
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        )
        argv = ["ssh", "-F", "/dev/null", "-i", str(key), "-o", "IdentitiesOnly=yes"]
        for option in options:
            argv += ["-o", option]
        argv += [f"{user}@{self.host.address}", *command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)

    def lets_in(self, user: str, key: str) -> bool:
        self.key(key)
        return self.login(user, self.folder / key, "true").returncode == 0

    def becomes_root(self, user: str) -> bool:
        return self.host.run(f"sudo -n -U {user} -l", check=False).stdout.find("not allowed") < 0


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, module_host: Host) -> Iterator[Standing]:
    folder = tmp_path_factory.mktemp("users")
    project = Project(folder / "users", module_host, name="users")
    # These tests cause many refused logins. With penalties each one would make this machine wait longer.
    module_host.write("/etc/ssh/sshd_config.d/50-test.conf", "PerSourcePenalties no\n")
    module_host.run("sshd -t || rm /etc/ssh/sshd_config.d/50-test.conf")  # Debian 12 has no such option
    module_host.run("systemctl reload ssh && groupadd docker && useradd -m older && gpasswd -a older docker")
    module_host.write(OLD_RULE, "older ALL=(ALL) NOPASSWD: ALL\n")
    module_host.run(f"chmod 440 {OLD_RULE} && cp -a /root/.ssh/authorized_keys /root/kept")
    (folder / "keys").mkdir()
    yield Standing(module_host, project, folder / "keys")
    project.close()


@pytest.mark.once
def test_root_is_not_narrowed_before_the_deploy_user_works(standing: Standing) -> None:
    """The session is root's own, by another key than the one that would be left: that must not count."""
    program = """
    from portcullis.components import User
    User("root", host="web1", user="root", keys={"other": %r}, adopt=True)
    """
    project = standing.project.program(program % standing.key("other"), user="deploy", bootstrap_user="root")
    project.up(fails=True).has("a fresh login failed", "the change was taken back")
    standing.host.run("cmp /root/kept /root/.ssh/authorized_keys")


@pytest.mark.once
def test_first_contact_makes_the_deploy_user_before_root_is_narrowed(standing: Standing) -> None:
    host = standing.host
    standing.declare(adopt=False).up(fails=True).has(
        "undeclared./etc/sudoers.d/90-from-before differs", "set adopt=True"
    )
    assert host.read(OLD_RULE)
    standing.declare().up()
    standing.project.unchanged()
    done = standing.login("deploy", host.identity_file, "sudo", "-n", "id", "-un")
    assert done.stdout == "root\n", done.stderr
    assert standing.login("alice", standing.folder / "alice", "id", "-un").stdout == "alice\n"
    assert (
        "password is required"
        in standing.login("alice", standing.folder / "alice", "sudo", "-n", "id").stderr
    )
    assert not standing.becomes_root("older")
    assert host.run("id -nG older").stdout == "older\n"
    assert host.run("stat -c '%U %G %a' /home/alice/.ssh /home/alice/.ssh/authorized_keys").stdout == (
        "alice alice 700\nalice alice 600\n"
    )
    shadow = host.run("grep -E '^(deploy|alice)' /etc/shadow | cut -d: -f1,2 | sort").stdout
    assert shadow == "alice:*\ndeploy:*\n"


def test_a_key_that_is_not_declared_is_shown_by_its_fingerprint_and_taken_out(standing: Standing) -> None:
    host, evil, found = standing.host, standing.key("evil"), standing.fingerprint("evil")
    host.run(f"echo '{evil}' >> /home/alice/.ssh/authorized_keys")
    host.run(f"echo '{evil}' > /root/.ssh/authorized_keys2")
    host.run("chmod 777 /home/alice/.ssh && chsh -s /bin/sh alice")
    assert standing.lets_in("root", "evil")
    standing.project.preview().has(
        f"+ {found}: ", "evil@somewhere", "(in /root/.ssh/authorized_keys2)",
        'key_files: "private" => "/home/alice/.ssh has mode 0777"', 'shell : "/bin/bash" => "/bin/sh"',
        "~ 2 to update",
    )  # fmt: skip
    standing.project.up()
    standing.project.unchanged()
    assert not standing.lets_in("root", "evil")
    assert not standing.lets_in("alice", "evil")
    assert standing.lets_in("alice", "alice")


def test_whoever_may_become_root_is_one_line_and_taken_away(standing: Standing) -> None:
    host = standing.host
    host.run("useradd -m mallory && gpasswd -a mallory docker && useradd -o -u 0 -g 0 -M toor 2>/dev/null")
    host.run("echo 'mallory ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/backdoor")
    host.run("echo '%games ALL=(ALL) ALL' >> /etc/sudoers")
    assert standing.becomes_root("mallory")
    standing.project.preview().has(
        '+ /etc/sudoers.d/backdoor : "mallory ALL=(ALL) NOPASSWD: ALL"',
        '+ /etc/sudoers: %games ALL=(ALL) ALL: "rule"',
        '+ group docker: mallory : "member"',
        '+ uid 0: toor : "a second root',
        "~ 1 to update",
    )
    standing.project.up()
    standing.project.unchanged()
    assert not standing.becomes_root("mallory")
    assert host.run("id -nG mallory").stdout == "mallory\n"
    assert host.run("getent passwd toor", check=False).stdout == ""
    host.run("visudo -c && ! grep games /etc/sudoers && test -d /root")


@pytest.mark.once
def test_a_rotated_key_lets_in_and_the_old_one_does_not(standing: Standing) -> None:
    assert standing.lets_in("alice", "alice")
    standing.declare(alice="alice-new").up()
    assert standing.lets_in("alice", "alice-new")
    assert not standing.lets_in("alice", "alice")
    standing.project.unchanged()


@pytest.mark.once
def test_our_own_way_in_cannot_be_closed(standing: Standing) -> None:
    host = standing.host
    before = host.read("/home/deploy/.ssh/authorized_keys")
    said = standing.declare(alice="alice-new", deploy={}).up(fails=True)
    said.has("keys: the deploy logs in as deploy, and this user would have no key any more")
    said = standing.declare(alice="alice-new", deploy={"wrong": standing.key("wrong")}).up(fails=True)
    said.has("after the change, a fresh login failed", "the change was taken back")
    assert host.read("/home/deploy/.ssh/authorized_keys") == before
    assert host.run("systemctl list-timers --all | grep -c portcullis-guard", check=False).stdout == "0\n"
    standing.declare(alice="alice-new").up()
    standing.project.unchanged()


ATTACK = """\
import os, time
os.chdir("/home/alice")
end = time.monotonic() + 1200
while time.monotonic() < end and not os.path.exists("/srv/enough"):
    try:
        os.rename(".ssh", "real")
        os.symlink("/root/.ssh", ".ssh")
        time.sleep(0.002)
        os.unlink(".ssh")
        os.rename("real", ".ssh")
        time.sleep(0.002)
    except OSError:
        os.system("rm -rf .ssh real; mkdir -m 700 .ssh")
"""


@pytest.mark.once
def test_a_user_who_swaps_their_folder_for_roots_while_we_write_gets_nothing(standing: Standing) -> None:
    host = standing.host
    look = "stat -c '%U %a %n' /root /root/.ssh /root/.ssh/* && sha256sum /root/.ssh/*"
    before = host.run(look).stdout
    host.write("/srv/attack.py", ATTACK)
    host.run("systemd-run --quiet --uid=alice --unit=attack python3 /srv/attack.py")
    for key in ("alice", "alice-new"):
        standing.declare(alice=key)
        process = standing.project.start("up", "--yes", "--skip-preview")
        outcome = standing.project.finish(process, "up", 0)
        assert "Traceback" not in outcome.output
        assert host.run("systemctl is-active attack").stdout == "active\n"
        assert host.run(look).stdout == before
    host.run("touch /srv/enough; while systemctl -q is-active attack; do sleep 0.1; done")
    host.run("rm -rf /home/alice/.ssh && ln -s /root/.ssh /home/alice/.ssh")
    standing.project.preview().has("/home/alice/.ssh is a symbolic link")
    standing.project.up()
    standing.project.unchanged()
    assert host.run(look).stdout == before
    assert standing.lets_in("alice", "alice-new")


def test_destroy_gives_back_what_was_there_and_keeps_homes_and_our_way_in(standing: Standing) -> None:
    host = standing.host
    host.run("echo precious > /home/ops/notes && echo precious > /home/alice/notes")
    standing.project.destroy()
    host.run("cmp /root/kept /root/.ssh/authorized_keys")
    assert host.run("stat -c '%U %a' /root/.ssh/authorized_keys").stdout == "root 600\n"
    assert host.read(OLD_RULE) == "older ALL=(ALL) NOPASSWD: ALL\n"
    assert host.run(f"stat -c %a {OLD_RULE}; id -nG older").stdout == "440\nolder docker\n"
    assert host.run("ls /etc/sudoers.d").stdout == "90-from-before\nREADME\nportcullis-deploy\n"
    assert host.run("cat /home/ops/notes /home/alice/notes").stdout == "precious\n" * 2
    assert host.run("getent passwd ops", check=False).stdout == ""
    assert not standing.lets_in("alice", "alice-new")
    assert standing.login("deploy", host.identity_file, "sudo", "-n", "id", "-un").stdout == "root\n"
    assert standing.login("root", host.identity_file, "true").returncode == 0
