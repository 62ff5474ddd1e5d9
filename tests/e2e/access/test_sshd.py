"""Tests the SSH server on a real host: its settings, refused logins, a new port, and conflicting files.

Each test leaves the server on port 22, as declared.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.pytest_lab import Host

PROGRAM = """
from portcullis.components import SshAccess, SshArgs
from portcullis.host import Host

SshAccess("ssh", SshArgs({args}), host=Host("web1", {os!r}, {adopt}), port={port}, {more})
"""
DROP_IN = "/etc/ssh/sshd_config.d/10-portcullis.conf"
# This file sorts before 10-portcullis.conf, so most of its lines win. KbdInteractiveAuthentication loses to
# the Match block in our file.
FOREIGN = """\
# mine
KbdInteractiveAuthentication yes
MaxAuthTries 6
Match User mallory
  PasswordAuthentication yes
"""
EVIL = "/etc/ssh/sshd_config.d/00-evil.conf"
# Addresses of this machine. Without the exemption sshd would make it wait after the refused logins.
EXEMPT = 'exempt=("198.18.0.0/15", "2001:db8:100::/64")'


def program(
    *, os: str = "debian-13", port: int = 22, args: str = "", adopt: bool = False, more: str = EXEMPT
) -> str:
    return PROGRAM.format(os=os, port=port, args=args, adopt=adopt, more=more)


def declare(project: Project, *, port: int = 22, **how: Any) -> Project:
    return project.program(program(port=port, **how), port=port)


def effective(host: Host, user: str = "nobody", port: int = 22) -> dict[str, str]:
    asked = f"user={user},host=x,addr=203.0.113.9,laddr=198.51.100.1,lport={port}"
    lines = host.run(["sshd", "-T", "-C", asked]).stdout.splitlines()
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}


def ports(host: Host) -> set[str]:
    said = host.run("ss -Htlnp | grep '\"sshd\"'").stdout
    return {line.split()[3].rpartition(":")[2] for line in said.splitlines()}


def rules(host: Host) -> dict[str, str]:
    """Return ufw's rules that allow a port, with their comments."""
    said = host.run("ufw show added").stdout
    return dict(re.findall(r"^ufw allow (\d+)/tcp(?: comment '(.*)')?$", said, re.MULTILINE))


def offered(host: Host, user: str, *options: str) -> str:
    """Return what a client without our key is told: the ways in that are left."""
    argv = ["ssh", "-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    argv += ["-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1", *options]
    done = subprocess.run(
        [*argv, f"{user}@{host.address}", "true"], capture_output=True, text=True, timeout=120, check=False,
        env={"PATH": "/usr/bin:/bin", "DISPLAY": ":0", "SSH_ASKPASS_REQUIRE": "force",
             "SSH_ASKPASS": "/bin/echo"},
    )  # fmt: skip
    assert done.returncode == 255
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, module_host: Host) -> Iterator[Project]:
    """A project on a fresh Debian 13, where the user mallory can still log in by password."""
    module_host.run("useradd -m mallory && echo mallory:guess | chpasswd")
    project = Project(tmp_path_factory.mktemp("ssh") / "ssh", module_host, name="ssh")
    yield project
    project.close()


def test_before_it_a_password_would_have_been_asked_for(standing: Project) -> None:
    assert "publickey,password" in offered(standing.host, "mallory")


def test_every_option_holds_as_sshd_itself_says(standing: Project) -> None:
    host = standing.host
    declare(standing).up()
    standing.unchanged()
    found = effective(host)
    assert {
        "permitrootlogin": "without-password",
        "passwordauthentication": "no",
        "kbdinteractiveauthentication": "no",
        "authenticationmethods": "publickey",
        "maxauthtries": "3",
        "maxsessions": "10",
        "x11forwarding": "no",
        "allowtcpforwarding": "local",
        "allowagentforwarding": "no",
        "permittunnel": "no",
        "usedns": "no",
        "loglevel": "VERBOSE",
        "debianbanner": "no",
        "requiredrsasize": "3072",
        "persourcepenaltyexemptlist": "198.18.0.0/15,2001:db8:100::/64",
    }.items() <= found.items()
    assert found["kexalgorithms"].startswith("mlkem768x25519-sha256,")
    assert "nistp" not in found["kexalgorithms"]
    assert effective(host, "root")["maxsessions"] == "64"
    assert host.run(f"stat -c '%a %U' {DROP_IN}").stdout == "600 root\n"
    assert rules(host) == {"22": "portcullis ssh"}
    assert host.ssh("true").returncode == 0


@pytest.mark.once
def test_passwords_are_refused_by_a_real_attempt(standing: Project) -> None:
    denied = offered(standing.host, "mallory")
    assert denied.endswith("Permission denied (publickey).")
    for way in ("password", "keyboard-interactive"):
        assert offered(standing.host, "mallory", "-o", f"PreferredAuthentications={way}") == denied


def audit(address: str, port: int = 22) -> list[str]:
    """Return what ssh-audit calls a failure."""
    argv = [
        Path(sys.executable).with_name("ssh-audit"),
        "--skip-rate-test",
        "-j",
        "-n",
        "-p",
        str(port),
        address,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    report = json.loads(done.stdout)
    found = [
        f"{kind} {one['algorithm']}: {note}"
        for kind in ("kex", "key", "enc", "mac")
        for one in report[kind]
        for note in one.get("notes", {}).get("fail", [])
    ]
    assert report["kex"], done.stdout
    return found


def test_ssh_audit_finds_no_failure(standing: Project) -> None:
    assert audit(standing.host.address) == []


def test_a_port_moves_there_and_back_under_a_firewall(standing: Project) -> None:
    host = standing.host
    # ufw is on, and lets in only connections that have a rule.
    host.run("ufw --force enable")
    declare(standing, port=2222).up()
    assert ports(host) == {"2222"}
    assert rules(host) == {"2222": "portcullis ssh"}
    declare(standing).up()
    assert ports(host) == {"22"}
    assert rules(host) == {"22": "portcullis ssh"}
    standing.unchanged()
    host.run("ufw disable")


def test_edits_by_hand_are_shown_by_line_option_and_rule_and_mended(standing: Project) -> None:
    host = standing.host
    host.run("ufw delete allow 22/tcp; ufw allow 2022/tcp comment 'portcullis ssh'")
    # Let sshd also listen on a port that its files do not have.
    host.run(
        f"cp -p {DROP_IN} /root/kept; sed -i 's/^Port 22/Port 22\\nPort 2022/' {DROP_IN};"
        "systemctl reload ssh; until ss -Hltn 'sport = 2022' | grep -q .; do sleep 0.1; done;"
        f"cp -p /root/kept {DROP_IN}"
    )
    host.run(f"sed -i 's/^MaxAuthTries 3/MaxAuthTries 6/' {DROP_IN}; chmod 0644 {DROP_IN}")
    standing.preview().has(
        'MaxAuthTries : "6" => "3"',
        "- MaxAuthTries 6",
        "+ MaxAuthTries 3",
        'mode : "0644" => "0600"',
        '- 2022: "allow"',
        '+ 22 : "allow"',
        "2022 (until sshd reads its files)",
        "stale : true => false",
    )
    standing.up()
    standing.unchanged()
    assert effective(host)["maxauthtries"] == "3"
    assert rules(host) == {"22": "portcullis ssh"}
    assert ports(host) == {"22"}


def test_a_drop_in_that_wins_over_ours_is_named_and_put_out_of_force_only_when_told_to(
    standing: Project,
) -> None:
    host = standing.host
    host.write(EVIL, FOREIGN)
    host.run("systemctl reload ssh")
    assert effective(host)["maxauthtries"] == "6"
    standing.preview().has(
        f'"6 ({EVIL}:3)" => "3"', f'"yes for Match User mallory ({EVIL}:5)" => "no"'
    ).lacks('KbdInteractiveAuthentication: "yes')
    standing.up(fails=True).has(
        f"{EVIL}:3: maxauthtries 6", f"{EVIL}:5: passwordauthentication yes", "set adopt=True"
    )
    # Mended by hand: what the failed update left in the state is no difference any more.
    host.run(f"rm {EVIL}; systemctl reload ssh")
    standing.preview("--expect-no-changes").has('PasswordAuthentication      : "yes for', '=> "no"')
    host.write(EVIL, FOREIGN)
    host.run("systemctl reload ssh")
    declare(standing, adopt=True).up()
    standing.unchanged()
    assert effective(host)["maxauthtries"] == "3"
    assert effective(host, "mallory")["passwordauthentication"] == "no"
    assert "#portcullis-off# MaxAuthTries 6\n" in host.read(EVIL)


@pytest.mark.once
def test_what_would_refuse_the_login_is_refused_before_anything_changes(standing: Project) -> None:
    before = standing.host.read(DROP_IN)
    for args, said in {
        'options={"AllowUsers": "mallory"}': "AllowUsers: mallory leaves out root",
        'options={"MaxSesions": "3"}': "Bad configuration option: MaxSesions",
    }.items():
        declare(standing, args=args).up(fails=True).has(said)
        assert standing.host.read(DROP_IN) == before
    declare(standing)


def test_a_reload_that_fails_after_a_change_by_hand_names_that_change_first(standing: Project) -> None:
    host = standing.host
    path = "/etc/ssh/sshd_config.d/99-broken.conf"
    host.write(path, "Broken yes\n")
    try:
        # This change makes the `up` reload sshd.
        error = declare(standing, args='options={"MaxAuthTries": "2"}').up(fails=True).error
        first = error.find(f"{path} was changed by hand")
        said = error.find("Bad configuration option: Broken")
        assert 0 <= first < said, error
        assert host.ssh("true").returncode == 0, "the running sshd still lets us in"
    finally:
        host.run(f"rm {path}")
    declare(standing).up()
    standing.unchanged()
    assert effective(host)["maxauthtries"] == "3"


def test_destroy_from_another_port_gives_the_host_back(standing: Project) -> None:
    host = standing.host
    declare(standing, port=2222).up()
    standing.destroy()
    assert ports(host) == {"22"}
    assert host.run(f"ls {DROP_IN}", check=False).returncode != 0
    assert host.read(EVIL) == FOREIGN
    assert "publickey,password" in offered(host, "mallory")
    assert host.run("command -v ufw", check=False).stdout == ""
    assert host.run("ls /var/lib/portcullis", check=False).stdout == ""
    # The settings still have port 2222. `up` finds the host on port 22, and moves sshd again.
    host.run(f"rm {EVIL}")
    declare(standing, port=2222, more=f"ufw=False, {EXEMPT}").up()
    assert ports(host) == {"2222"}


def test_debian_12_from_first_contact_as_root_to_a_user_who_deploys_and_root_refused(
    make_module_host: Callable[..., Host], tmp_path: Path
) -> None:
    host = make_module_host("bookworm")
    key = host.identity_file.with_suffix(".pub").read_text().strip()
    more = 'login="deploy", opts=pulumi.ResourceOptions(depends_on=[deploy])'
    project = Project(tmp_path / "ssh12", host, name="ssh12")
    text = f"""
from portcullis.components import User

deploy = User("deploy", host="web1", user="deploy", keys={{"ci": {key!r}}}, sudo=True)
""" + program(os="debian-12", port=2222, args='root_login="no"', more=more)
    project.program(text, user="deploy", port=2222, bootstrap_user="root", bootstrap_port=22)
    try:
        host.run("useradd -m mallory && echo mallory:guess | chpasswd")
        project.up()
        project.unchanged()
        found = effective(host, port=2222)
        assert (found["passwordauthentication"], found["permitrootlogin"]) == ("no", "no")
        assert found["kexalgorithms"].startswith("sntrup761x25519-sha512")
        assert ports(host) == {"2222"}
        assert offered(host, "mallory", "-p", "2222").endswith("Permission denied (publickey).")
        assert audit(host.address, port=2222) == []
        config = project.folder / ".portcullis/e2e/ssh_config"
        whoami = ["ssh", "-F", str(config), "web1"]
        assert subprocess.check_output([*whoami, "sudo -n id -un"], text=True) == "root\n"
        refused = subprocess.run(
            [*whoami, "-l", "root", "-S", "none", "true"], capture_output=True, check=False
        )
        assert b"Permission denied (publickey)" in refused.stderr
        project.destroy()
        assert ports(host) == {"22"}
        assert host.ssh("true").returncode == 0
    finally:
        project.close()
