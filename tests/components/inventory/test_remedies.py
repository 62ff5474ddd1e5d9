"""The report has a command for each fix of the agent. The tests run the commands and check their effect."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portcullis.components.inventory import remedies
from portcullis.components.inventory.on_host import accounts, files, packages, programs
from portcullis.components.inventory.on_host.accounts import _fixes
from portcullis.components.inventory.on_host.baseline import restores
from portcullis.components.inventory.on_host.dpkg import Package
from portcullis.components.inventory.remedies import command, remedy
from portcullis.components.users.on_host.accounts import Account

if TYPE_CHECKING:
    from portcullis.components.inventory.on_host.look import Fix
    from tests.components.inventory.debian import Debian
    from tests.components.inventory.looking import Host

UNCAP = "python3 -c 'import os, sys; os.removexattr(sys.argv[1], \"security.capability\")'"
EXTRACT = (
    'cd "$(mktemp -d)" && apt-get download libx++ && dpkg-deb --fsys-tarfile libx++_*.deb | tar -xC / ./etc/x'
)
COMMANDS: dict[Fix, str] = {
    ("remove-file", "/etc/$(reboot);x"): "rm '/etc/$(reboot);x'",
    ("remove-folder", "/opt/x"): "rm -r /opt/x",
    ("remove-certificate", "/x.crt"): "rm /x.crt && update-ca-certificates --fresh",
    ("remove-key", "CWFa8R/9+WqM9abc", "/root/.ssh/a b"): r"sed -i '\|CWFa8R/9+WqM9abc|d' '/root/.ssh/a b'",
    ("edit", "/root/.ssh/a b"): "editor '/root/.ssh/a b'",
    ("remove-override", "/etc/x"): "dpkg-statoverride --remove /etc/x",
    ("remove-diversion", "/etc/x"): "dpkg-divert --local --rename --remove /etc/x",
    ("forget-diversion", "/etc/x"): "dpkg-divert --local --no-rename --remove /etc/x",
    ("remove-choice", "pager", "/var/lib/x"): "update-alternatives --remove pager /var/lib/x",
    ("choose", "nawk"): "update-alternatives --auto nawk",
    ("link", "/etc/alternatives/awk", "/usr/bin/awk"): "ln -sfn /etc/alternatives/awk /usr/bin/awk",
    ("copy", "/usr/share/x", "/etc/x"): "cp --remove-destination /usr/share/x /etc/x",
    ("copy-missing", "/usr/share/x", "/etc/x"): "cp -p /usr/share/x /etc/x",
    ("copy-of-ucf", "/etc/a b"): "cp --remove-destination /var/lib/ucf/cache/':etc:a b' '/etc/a b'",
    ("extract", "libx++", "/etc/x"): EXTRACT,
    ("reinstall", "less"): "apt-get install -y --reinstall -o Dpkg::Options::=--force-confmiss less",
    ("empty", "/etc/x"): ": > /etc/x",
    ("ldconfig",): "ldconfig",
    ("certificates",): "update-ca-certificates --fresh",
    ("pam", "/etc/pam.d/common-auth"): (
        "rm /etc/pam.d/common-auth && pam-auth-update --force --package && rm -f /etc/pam.d/common-*.pam-old"
    ),
    ("rights", "root:adm", "/etc/x", "0640"): "chown root:adm /etc/x && chmod 0640 /etc/x",
    ("close", "/usr/bin/su"): "chmod go-w /usr/bin/su",
    ("own", "/usr/bin/x"): "chown root /usr/bin/x && chmod go-w /usr/bin/x",
    ("no-setuid", "/usr/bin/x"): "chmod u-s,g-s /usr/bin/x",
    ("no-capabilities", "/usr/bin/x"): f"{UNCAP} /usr/bin/x",
    ("walk",): "systemctl start portcullis-inventory.service",
    ("remove-account", "eve"): "userdel eve",
    ("remove-account-and-home", "eve"): "userdel -r eve",
    ("remove-twin", "toor"): "userdel -f toor",
    ("lock", "news"): "usermod -p '*' news",
    ("shell", "/bin/bash", "eve"): "usermod -s /bin/bash eve",
    ("own-group", "eve"): "usermod -g eve eve || usermod -g nogroup eve",
    ("leave-group", "bob", "adm"): "gpasswd -d bob adm",
    ("no-group-password", "staff"): "gpasswd -R staff",
    ("no-linger", "bob"): "loginctl disable-linger bob",
    ("forget-unit", "x.timer"): "systemctl reset-failed x.timer; systemctl stop x.timer",
    ("stop", r"dev-a\x2db.swap"): r"systemctl stop 'dev-a\x2db.swap'",
    ("unmask", "x.timer"): "systemctl unmask x.timer",
    ("unmask-until-boot", "x.timer"): "systemctl unmask --runtime x.timer",
    ("unmask-global", "x.timer"): "systemctl --global unmask x.timer",
    ("unmask-until-boot-global", "x.timer"): "systemctl --global unmask --runtime x.timer",
    ("enable", "x.timer"): "systemctl enable x.timer",
    ("enable-global", "x.timer"): "systemctl --global enable x.timer",
    ("disable-and-stop", "x@y.timer"): "systemctl disable --now x@y.timer",
    ("disable", "nftables.service"): "systemctl disable nftables.service",
    ("disable-global", "x.timer"): "systemctl --global disable x.timer",
    ("reload-units",): "systemctl daemon-reload",
    ("unhold", "openssl"): "apt-mark unhold openssl",
    ("purge", "libx++"): "apt-get purge -y libx++",
    ("sysctl", "kernel.core_pattern", "|/y %p"): "sysctl -w kernel.core_pattern='|/y %p'",
    ("sysctl", "kernel.hotplug", ""): "sysctl -w kernel.hotplug=''",
    ("sysctl", "a.b", "-1"): "sysctl -w a.b=-1",
    ("remove-link", "br9"): "ip link del br9",
    ("link-down", "sit0"): "ip link set sit0 down",
    ("remove-address", "192.0.2.9/32", "eth0"): "ip address del 192.0.2.9/32 dev eth0",
    ("remove-rule", "99"): "ip rule del pref 99",
    ("remove-rule-6", "99"): "ip -6 rule del pref 99",
    ("remove-route", "10.0.0.0/8", "dev", "a b"): "ip route del 10.0.0.0/8 dev 'a b'",
    ("remove-route-6", "default", "via", "fe80::1"): "ip -6 route del default via fe80::1",
    ("remove-route-4-or-6", "default", "dev", "wg0"): (
        "ip route del default dev wg0 || ip -6 route del default dev wg0"
    ),
    ("remove-container", "leak"): "docker rm -f leak",
    ("look-at-targets",): "nginx -T | grep -E 'server |_pass '",
    ("remove-network", "lan"): "docker network rm lan",
    ("remove-volume", "v"): "docker volume rm v",
    ("remove-image", "drill/tagged:1"): "docker rmi drill/tagged:1",
    ("remove-plugin", "vieux/sshfs:latest"): "docker plugin rm -f vieux/sshfs:latest",
    ("disconnect", "bridge", "redis"): "docker network disconnect bridge redis",
    ("leave-swarm",): "docker swarm leave --force && docker network rm docker_gwbridge",
}


@pytest.mark.parametrize(("fix", "wanted"), COMMANDS.items())
def test_the_command_of_each_action(fix: Fix, wanted: str) -> None:
    assert command("files", [fix]) == wanted
    subprocess.run(["sh", "-nc", wanted], check=True)  # the shell can parse it


def test_each_action_is_tried() -> None:
    assert {fix[0] for fix in COMMANDS} == set(remedies._ACTIONS)


@pytest.mark.parametrize(
    "fix",
    [
        (),
        ("reboot",),
        ("remove-file",),
        ("remove-file", "/etc/x", "/etc/y"),
        ("remove-route",),
        ("remove-file", "etc/x"),
        ("remove-file", "/etc/a\x1bb"),
        ("remove-file", "/etc/a\N{REPLACEMENT CHARACTER}b"),
        ("remove-account", "-r"),
        ("remove-account", ""),
        ("remove-key", "x|e reboot|", "/k"),
        ("stop", "*.service"),
        ("stop", "-.mount"),
        ("purge", "a package"),
        ("purge", ".*"),
        ("rights", "root", "/etc/x", "a+rwx"),
        ("remove-rule", "9 x"),
    ],
)
def test_an_operand_that_a_program_could_read_otherwise_gives_no_command(fix: Fix) -> None:
    assert command("files", [fix]) == ""
    assert remedy("files", [("ldconfig",), fix]) == ""


def test_several_fixes_are_one_command() -> None:
    two = [("unhold", "tree"), ("purge", "tree")]
    assert remedy("packages", two) == "remove it yourself: apt-mark unhold tree && apt-get purge -y tree"
    unit = [("disable-and-stop", "a.timer"), ("remove-file", "/etc/a.timer"), ("reload-units",)]
    wanted = "systemctl disable --now a.timer; rm /etc/a.timer; systemctl daemon-reload"
    assert remedy("units", unit) == f"remove it yourself: {wanted}"
    assert remedy("files", []) == ""


def test_the_verb_of_a_command_is_that_of_its_first_fix() -> None:
    for fix, verb in (
        (("choose", "x"), "put it back"),
        (("rights", "root:root", "/x", "0644"), "mend it"),
        (("walk",), "start it"),
    ):
        assert remedy("files", [fix, ("remove-file", "/y")]).startswith(f"{verb} yourself: ")


# The fixes of each reader -----------------------------------------------------------------------------------


def account(line: str, password: str) -> Account:
    name, uid, gid, home, shell = line.split(":")
    return Account(name, int(uid), int(gid), Path(home), shell, password)


@pytest.mark.parametrize(
    ("line", "password", "twins", "usual", "wanted"),
    [
        ("mallory:1001:1001:/home/mallory:/bin/bash", "$y", [], None, "userdel -r mallory"),
        ("mallory:1001:0:/home/mallory:/bin/sh", "*", [], None, "userdel -r mallory"),
        # The command has no `-r`, because another account may use that folder.
        ("mallory:1001:1001:/srv:/bin/sh", "*", [], None, "userdel mallory"),
        ("toor:0:0:/root:/bin/sh", "*", ["root"], None, "userdel -f toor"),
        ("twin:33:33:/home/twin:/bin/sh", "*", ["www-data"], None, "userdel -f twin"),
        # Accounts of Debian itself are locked and never removed.
        ("news:9:9:/var/spool/news:/usr/sbin/nologin", "$y", [], None, "usermod -p '*' news"),
        ("irc:39:39:/run:/usr/sbin/nologin", "", [], None, "usermod -p '*' irc"),
        ("list:38:38:/var/list:/bin/bash", "*", [], None, "usermod -s /usr/sbin/nologin list"),
        ("sync:4:65534:/bin:/bin/sync", "$y", [], None, "usermod -p '*' sync"),
        (
            "nobody:65534:65534:/nonexistent:/bin/sh", "$y", [], None,
            "usermod -p '*' nobody && usermod -s /usr/sbin/nologin nobody",
        ),
        (
            "uucp:10:0:/var/spool/uucp:/usr/sbin/nologin", "*", [], None,
            "usermod -g uucp uucp || usermod -g nogroup uucp",
        ),
        ("root:0:0:/root:/bin/bash", "$y", [], None, ""),
        ("deploy:1000:1000:/home/deploy:/opt/x", "*", [], "/bin/bash", "usermod -s /bin/bash deploy"),
        ("deploy:1000:1000:/home/deploy:/bin/sh", "$y", [], "/bin/sh", "usermod -p '*' deploy"),
        (
            "deploy:1000:0:/home/deploy:/bin/sh", "*", [], "/bin/sh",
            "usermod -g deploy deploy || usermod -g nogroup deploy",
        ),
        ("deploy:0:0:/home/deploy:/bin/sh", "*", ["root"], "/bin/sh", ""),
    ],
)  # fmt: skip
def test_the_fixes_of_an_account(
    line: str, password: str, twins: list[str], usual: str | None, wanted: str
) -> None:
    assert command("accounts", _fixes(account(line, password), twins, set(), usual)) == wanted


def test_the_fixes_of_groups_and_of_lingering_accounts(host: Host) -> None:
    host.write("etc/passwd", "root:x:0:0::/root:/bin/sh\neve:x:1001:42::/home/eve:/bin/sh\n")
    host.write("etc/group", "adm:x:4:bob\nshadow:x:42:\n")
    host.write("etc/gshadow", "adm:$6$x::bob\n")
    host.write("var/lib/systemd/linger/bob")
    found = accounts.read(host.look())["accounts"]
    assert {key: entry.fixes for key, entry in found.items() if " " in key} == {
        "group adm: bob": (("leave-group", "bob", "adm"),),
        "group shadow: eve": (("own-group", "eve"),),
        "group adm": (("no-group-password", "adm"),),
        "linger bob": (("no-linger", "bob"),),
    }
    assert [key for key, entry in found.items() if not entry.is_open] == ["linger bob"]


SET, NONE = "set", "none"


@pytest.mark.parametrize(
    ("name", "key", "now", "before", "wanted"),
    [
        (
            "accounts", "root", {"uid": "0", "shell": "/opt/x", "password": SET},
            {"uid": "0", "shell": "/bin/bash", "password": NONE},
            "usermod -p '*' root && usermod -s /bin/bash root",
        ),
        (
            "accounts", "debian", {"uid": "0", "shell": "/x", "password": SET},
            {"uid": "1000", "shell": "/bin/bash", "password": NONE}, "",
        ),
        (
            "accounts", "root", {"uid": "0", "shell": "/x", "password": NONE},
            {"uid": "0", "shell": "/x", "password": SET}, "",
        ),
        (
            "files", "/etc/hostname", {"kind": "file", "mode": "0644", "owner": "daemon:root"},
            {"kind": "file", "mode": "0640", "owner": "root:root"},
            "chown root:root /etc/hostname && chmod 0640 /etc/hostname",
        ),
        (
            "files", "/etc/localtime", {"target": "/x"}, {"target": "/usr/share/zoneinfo/Etc/UTC"},
            "ln -sfn /usr/share/zoneinfo/Etc/UTC /etc/localtime",
        ),
        # A shell would follow the link.
        ("files", "/etc/x", {"target": "/x"}, {"kind": "file", "mode": "0640", "owner": "root:root"}, ""),
        (
            "files", "/etc/x", {"kind": "folder", "mode": "0644", "owner": "root:root"},
            {"kind": "file", "mode": "0640", "owner": "root:root"}, "",
        ),
        ("packages", "xz", {"held": "held"}, {"held": ""}, "apt-mark unhold xz"),
        ("packages", "xz", {"held": ""}, {"held": "held"}, ""),
        ("kernel", "sysctl a.b", {"value": "2"}, {"value": "1"}, "sysctl -w a.b=1"),
        ("kernel", "sysctl a.b", {"value": "2"}, {}, ""),
    ],
)  # fmt: skip
def test_a_changed_item_of_the_baseline_is_restored(
    name: str, key: str, now: dict[str, str], before: dict[str, str], wanted: str
) -> None:
    assert command(name, restores(name, key, now, before)) == wanted
    assert restores(name, key, now, now) == ()


def test_the_fixes_of_a_package() -> None:
    for held, purge, wanted in (
        (False, True, "apt-get purge -y xz"),
        (True, False, "apt-mark unhold xz"),
        (True, True, "apt-mark unhold xz && apt-get purge -y xz"),
    ):
        package = Package("xz", "amd64", "1", installed=True, held=held)
        assert command("packages", packages._entry(package, ["x"], purge=purge).fixes) == wanted


@pytest.mark.parametrize(
    ("mode", "uid", "faults", "wanted"),
    [
        (0o4755, 0, ["runs as uid 0", "in no package"], "rm /usr/x"),
        (0o4755, 0, ["runs as uid 0"], "chmod u-s,g-s /usr/x"),
        # chown(1) would remove the setuid bit of su.
        (0o4777, 0, ["others than root can change it"], "chmod go-w /usr/x"),
        (0o755, 5, ["others than root can change it"], "chown root /usr/x && chmod go-w /usr/x"),
        (0o755, 0, ["has capabilities of root's"], f"{UNCAP} /usr/x"),
        (
            0o6777, 0, ["runs as uid 0 and has capabilities of root's", "others than root can change it"],
            f"chmod go-w /usr/x && chmod u-s,g-s /usr/x && {UNCAP} /usr/x",
        ),
    ],
)  # fmt: skip
def test_the_fixes_of_a_program(mode: int, uid: int, faults: list[str], wanted: str) -> None:
    status = os.stat_result([mode, 0, 0, 1, uid, 0, 0, 0, 0, 0])
    assert command("programs", programs._fixes("/usr/x", status, faults)) == wanted


def paste(debian: Debian, line: str) -> None:
    """Run a command, with the fake host's folder in place of /."""
    root = debian.root
    for top in ("/etc/", "/usr/", "/opt/", "/home/"):
        line = line.replace(f" {top}", f" {root}{top}").replace(f" '{top}", f" '{root}{top}")
    subprocess.run(["sh", "-c", line], check=True, stdin=subprocess.DEVNULL)


def undone(debian: Debian, path: str) -> dict[str, str]:
    """Run the command for a path, and return the report after the command."""
    paste(debian, command("files", files.read(debian.look())["files"][path].fixes))
    return {key: entry.text for key, entry in files.read(debian.look())["files"].items()}


def test_an_undeclared_file_is_removed_whatever_its_name(debian: Debian) -> None:
    names = ["/etc/evil", "/etc/a b", "/etc/'q\"", "/etc/$(x)", "/etc/is it?"]
    for name in names:
        debian.file(name)
    debian.file("/etc/is itX")
    for name in names:
        assert name not in undone(debian, name)
    assert debian.at("/etc/is itX").exists(), "a ? in a name matches no other character"


def test_owner_and_mode_are_restored(debian: Debian) -> None:
    debian.package("x", {"/etc/cron.daily/x": "#!/bin/sh\n", "/etc/sudoers": "x"})
    for path in ("/etc/cron.daily/x", "/etc/cron.daily", "/etc/sudoers", "/etc/group"):
        debian.at(path).chmod(0o666)
        os.chown(debian.at(path), 1000, 0)
        assert path not in undone(debian, path)


def test_copies_and_links_are_restored(debian: Debian) -> None:
    debian.package("base-files", {"/usr/share/base-files/profile": "x\n"})
    debian.file("/etc/profile", "evil\n", 0o666)
    assert undone(debian, "/etc/profile") == {}
    debian.link("/etc/mtab", "/srv/evil")
    assert undone(debian, "/etc/mtab") == {}


def test_only_one_line_is_removed_from_a_key_file(host: Host) -> None:
    host.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP///////////////////////////////////////////w== mine"
    path = host.write("root/.ssh/authorized_keys", f"# mine\n{other}\nrestrict {key} evil\n")
    (entry,) = [each for each in accounts.read(host.look())["keys"].values() if "evil" in each.text]
    line = command("keys", entry.fixes)
    subprocess.run(["sh", "-c", line.replace(" /root", f" {host.root}/root")], check=True)
    assert path.read_text() == f"# mine\n{other}\n"
    path.write_text(f"restrict {key} evil\n{key} mine\n")
    fixes = [entry.fixes for entry in accounts.read(host.look())["keys"].values()]
    assert fixes == [(("edit", "/root/.ssh/authorized_keys"),)] * 2
