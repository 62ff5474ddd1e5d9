"""The report has a command for each kind of entry. The tests run the command and check its effect."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from portcullis.components.inventory.on_host import accounts, files
from portcullis.components.inventory.remedies import command, remedy

if TYPE_CHECKING:
    from tests.components.inventory.debian import Debian
    from tests.components.inventory.looking import Host

REINSTALL = "apt-get install -y --reinstall -o Dpkg::Options::=--force-confmiss"
WALK = "systemctl start portcullis-inventory.service"
DIVERT = "dpkg-divert --local --rename --remove"
UNCAP = "python3 -c 'import os, sys; os.removexattr(sys.argv[1], \"security.capability\")'"
ETC = "/etc/systemd/system"
RELOAD = "systemctl daemon-reload"


def extract(package: str, path: str) -> str:
    unpack = f"dpkg-deb --fsys-tarfile {package}_*.deb | tar -xC / .{path}"
    return f'cd "$(mktemp -d)" && apt-get download {package} && {unpack}'


ACCOUNTS = {
    ("mallory", "uid 1001, shell /bin/bash, a password"): "userdel -r mallory",
    ("mallory", "uid 1001, of root's group, shell /bin/sh, no password"): "userdel -r mallory",
    # The command has no `-r`, because another account may use that folder.
    ("mallory", "uid 1001, shell /bin/sh, no password, home /srv"): "userdel mallory",
    ("toor", "is root by its number, uid 0, shell /bin/sh, no password"): "userdel -f toor",
    ("twin", "uid 33, the same as www-data, shell /bin/sh, no password"): "userdel -f twin",
    # Accounts of Debian itself are locked and never removed.
    ("news", "uid 9, shell /usr/sbin/nologin, a password"): "usermod -p '*' news",
    ("irc", "uid 39, shell /usr/sbin/nologin, an EMPTY password"): "usermod -p '*' irc",
    ("list", "uid 38, shell /bin/bash, no password, home /var/list"): "usermod -s /usr/sbin/nologin list",
    ("sync", "uid 4, shell /bin/sync, a password, home /bin"): "usermod -p '*' sync",
    ("nobody", "uid 65534, shell /bin/sh, a password, home /nonexistent"): (
        "usermod -p '*' nobody && usermod -s /usr/sbin/nologin nobody"
    ),
    ("uucp", "uid 10, of root's group, shell /usr/sbin/nologin, no password"): (
        "usermod -g uucp uucp || usermod -g nogroup uucp"
    ),
    ("root", "uid 0, shell /bin/bash, a password"): "",
    ("root", "uid 0, shell /bin/bash, a password, was: uid 0, shell /bin/bash, no password"): (
        "usermod -p '*' root"
    ),
    ("root", "uid 0, shell /tmp/x, no password, was: uid 0, shell /bin/bash, no password"): (
        "usermod -s /bin/bash root"
    ),
    ("root", "uid 0, shell /tmp/x, a password, was: uid 0, shell /bin/bash, no password"): (
        "usermod -p '*' root && usermod -s /bin/bash root"
    ),
    ("root", "uid 0, shell /bin/bash, a password, its content changed"): "",
    ("debian", "uid 0, shell /bin/bash, no password, was: uid 1000, shell /bin/bash, no password"): "",
    ("deploy", "uid 1000, shell /tmp/x, declared with shell /bin/bash"): "usermod -s /bin/bash deploy",
    ("deploy", "uid 1000, shell /bin/sh, a password, declared with shell /bin/sh"): "usermod -p '*' deploy",
    ("deploy", "uid 1000, of root's group, shell /bin/sh, declared with shell /bin/sh"): (
        "usermod -g deploy deploy || usermod -g nogroup deploy"
    ),
    ("deploy", "is root by its number, uid 0, shell /bin/sh, declared with shell /bin/sh"): "",
    ("debian", "gone; was: uid 1000, shell /bin/bash, no password"): "",
    ("group adm: bob", "member, reads the system's logs"): "gpasswd -d bob adm",
    ("group shadow: eve", "member by its primary group, reads the hashes of all passwords"): (
        "usermod -g eve eve || usermod -g nogroup eve"
    ),
    ("group staff", "has a password: whoever knows it writes to /usr/local"): "gpasswd -R staff",
    ("linger bob", "its services start at boot, without a login"): "loginctl disable-linger bob",
    ("reading accounts", "cannot be read: Permission denied"): "",
    ("more", "7 more are not shown"): "",
}
KEYS = {
    ("root SHA256:abc", 'ssh-ed25519 …CWFa8R/9+WqM9abc "a, in /etc/x", from="::1", in /root/.ssh/a b'): (
        r"sed -i '\|CWFa8R/9+WqM9abc|d' '/root/.ssh/a b'"
    ),
    ("eve SHA256:abc (2)", "lets in every key that it signs, ssh-rsa …AAAABBBBCCCCDDD+, in /k"): (
        r"sed -i '\|AAAABBBBCCCCDDD+|d' /k"
    ),
    ("root SHA256:abc", "ssh-ed25519 …AAAABBBBCCCCDDDD, command, in /k, its content changed"): "",
    ("root /root/.ssh/authorized_keys", "cannot be read: Permission denied"): "",
}
FILES = {
    (
        "/etc/cron.d/evil",
        "file 0644 root:root (changed 2026-11-27T08:00:12Z while a, key b, c, was logged in)",
    ): ("rm /etc/cron.d/evil"),
    ("/etc/$(reboot);x", "file 0644 root:root"): "rm '/etc/$(reboot);x'",
    ("/etc/x", "link to /srv/x"): "rm /etc/x",
    ("/etc/x", "pipe 0644 root:root"): "rm /etc/x",
    ("/usr/local/bin/x", "file 4755 root:root, runs as uid 0, in no package"): "rm /usr/local/bin/x",
    ("/opt/x", "folder 0755 root:root with 300 files"): "rm -r /opt/x",
    ("/usr/local/share/ca-certificates/x.crt", "file 0644 root:root"): (
        "rm /usr/local/share/ca-certificates/x.crt && update-ca-certificates --fresh"
    ),
    ("/etc/passwd", "file 0666 root:root, Debian's is root:root 0644"): (
        "chown root:root /etc/passwd && chmod 0644 /etc/passwd"
    ),
    ("/etc/cron.weekly", "folder 0777 root:root, Debian's is root:root 0755"): (
        "chown root:root /etc/cron.weekly && chmod 0755 /etc/cron.weekly"
    ),
    (
        "/usr/local/sbin/x",
        "file 4755 root:root, x shipped it once, Debian's is root:root 0755, runs as uid 0",
    ): ("chown root:root /usr/local/sbin/x && chmod 0755 /usr/local/sbin/x"),
    ("/etc/deluser.conf", "file 0666 root:root, by an override of dpkg, Debian's is root:root 0644"): (
        "dpkg-statoverride --remove /etc/deluser.conf"
        " && chown root:root /etc/deluser.conf && chmod 0644 /etc/deluser.conf"
    ),
    ("/etc/x", "file 0644 root:root, an override of dpkg says root:adm 0640"): (
        "chown root:adm /etc/x && chmod 0640 /etc/x"
    ),
    ("/etc/l/x", "diverted by hand to /etc/l/x.distrib"): f"{DIVERT} /etc/l/x",
    ("/etc/l/x", "file 0644 root:root, diverted by hand to /etc/l/x.distrib"): (
        f"rm /etc/l/x && {DIVERT} /etc/l/x"
    ),
    # The diverted file belongs to the package.
    ("/etc/l/x", "file 0644 root:root, diverted by hand to /etc/l/x.distrib, where nothing is"): (
        "dpkg-divert --local --no-rename --remove /etc/l/x"
    ),
    ("/etc/alternatives/pager", "link to /var/lib/x, a choice of pager that no package has"): (
        "update-alternatives --remove pager /var/lib/x"
    ),
    ("/etc/alternatives/pager.1.gz", "link to /var/lib/x, a choice of pager that no package has"): "",
    ("/etc/alternatives/which", "link to /usr/bin/env, not a choice of which"): (
        "update-alternatives --auto which"
    ),
    ("/etc/alternatives/nawk", "link to /usr/bin/mawk, chosen by hand for nawk"): (
        "update-alternatives --auto nawk"
    ),
    ("/usr/bin/awk", "link to /srv/awk, Debian's leads to /etc/alternatives/awk"): (
        "ln -sfn /etc/alternatives/awk /usr/bin/awk"
    ),
    ("/etc/profile", "file 0666 root:root, not as /usr/share/x has it, Debian's is root:root 0644"): (
        "cp --remove-destination /usr/share/x /etc/profile"
        " && chown root:root /etc/profile && chmod 0644 /etc/profile"
    ),
    ("/home/bob/.bashrc", "file 0644 bob:bob, not as /etc/skel/.bashrc has it"): (
        "cp --remove-destination /etc/skel/.bashrc /home/bob/.bashrc"
        " && chown -h --reference=/home/bob /home/bob/.bashrc"
    ),
    ("/etc/ssh/sshd_config", "file 0644 root:root, not as its package put it there"): (
        "cp --remove-destination /var/lib/ucf/cache/:etc:ssh:sshd_config /etc/ssh/sshd_config"
    ),
    ("/etc/ssl/certs/ca-certificates.crt", "file 0644 root:root, not as update-ca-certificates makes it"): (
        "update-ca-certificates --fresh"
    ),
    ("/etc/pam.d/common-auth", "file 0644 root:root, not as pam-auth-update makes it"): (
        "rm /etc/pam.d/common-auth && pam-auth-update --force --package && rm -f /etc/pam.d/common-*.pam-old"
    ),
    ("/etc/apparmor.d/local/x", "file 0644 root:root, Debian's has no rules"): ": > /etc/apparmor.d/local/x",
    ("/etc/profile", "is missing, a copy of /usr/share/x"): "cp -p /usr/share/x /etc/profile",
    ("/usr/bin/awk", "is missing, update-alternatives makes it for awk"): "update-alternatives --auto awk",
    ("/etc/ld.so.cache", "is missing, ldconfig makes it"): "ldconfig",
    ("/etc/shells", "is missing, debianutils makes it"): "",
    ("/etc/x/y", "is missing, its package put it there"): (
        "cp --remove-destination /var/lib/ucf/cache/:etc:x:y /etc/x/y"
    ),
    ("/etc/ssl/certs/ca-certificates.crt", "is missing, update-ca-certificates makes it"): (
        "update-ca-certificates --fresh"
    ),
    ("/etc/logrotate.d/apt", "is missing, apt ships it"): f"{REINSTALL} apt",
    ("/etc/pam.d/su", "file 0644 root:root, not as login ships it"): extract("login", "/etc/pam.d/su"),
    ("/etc/x", "link to /srv/x, libx++ ships a file"): extract("libx++", "/etc/x"),
    ("/etc/x", "link to /srv/x, libx ships it otherwise"): extract("libx", "/etc/x"),
    ("/etc/ssh/sshd_config", "file 0644 root:root, not as its resource left it"): "",
    ("/etc/shells", "link to /srv/x, Debian has a file there"): "",
    ("/etc/x", "file 0644 root:root, some day it says more"): "",
    ("/etc/x", "file 0644 root:root, not as a package ships it"): "",
    ("/etc/hosts", "file 0644 root:root, its content changed"): "",
    ("/etc/hosts.deny", "gone; was: file 0644 root:root"): "",
    ("/etc/hostname", "file 0644 daemon:root, was: file 0640 root:root"): (
        "chown root:root /etc/hostname && chmod 0640 /etc/hostname"
    ),
    (
        "/etc/localtime",
        "link to /usr/share/zoneinfo/Asia/Kathmandu, was: link to /usr/share/zoneinfo/Etc/UTC",
    ): ("ln -sfn /usr/share/zoneinfo/Etc/UTC /etc/localtime"),
    ("/etc/hosts", "link to /srv/x, was: file 0644 root:root"): "",
    ("/opt/x", "folder 0755 root:root with 301 files, was: folder 0755 root:root with 300 files"): "",
    ("/etc/" + "x" * 394 + "…", "file 0644 root:root"): "",
    ("/etc/x", "link to /" + "x" * 390 + "…"): "",
    ("accept file /etc/old", "has no effect: remove it from inventory.accept"): "",
    ("baseline", "not recorded for this machine"): "",
    ("more", "7 more are not shown"): "",
}
UNITS = {
    ("a.service", f"unit file {ETC}/a.service; enabled for multi-user.target"): (
        f"systemctl disable --now a.service; rm {ETC}/a.service; {RELOAD}"
    ),
    ("a.service", f"unit file {ETC}/a.service (mode 0666, uid 0); drop-in {ETC}/a.service.d/x y.conf"): (
        f"systemctl disable --now a.service; rm {ETC}/a.service; rm '{ETC}/a.service.d/x y.conf'; {RELOAD}"
    ),
    # The package's unit stays enabled.
    ("fstrim.service", f"unit file {ETC}/fstrim.service, in place of its package's"): (
        f"rm {ETC}/fstrim.service; {RELOAD}"
    ),
    ("a.service", "unit file /srv/a.service, by a link"): "systemctl disable --now a.service",
    ("a.service", "no package has its /usr/lib/systemd/system/a.service"): (
        f"systemctl disable --now a.service; rm /usr/lib/systemd/system/a.service; {RELOAD}"
    ),
    ("cron.service", "no package has its /usr/lib/systemd/system/x.target.wants/cron.service"): (
        f"rm /usr/lib/systemd/system/x.target.wants/cron.service; {RELOAD}"
    ),
    ("nginx.service", f"drop-in {ETC}/nginx.service.d/a.conf"): f"rm {ETC}/nginx.service.d/a.conf; {RELOAD}",
    ("timer.d", f"drop-in {ETC}/timer.d/a.conf"): f"rm {ETC}/timer.d/a.conf; {RELOAD}",
    ("a.service", "enabled for sysinit.target"): "systemctl disable --now a.service",
    # A stop of this unit flushes every rule of the kernel.
    ("nftables.service", "enabled for sysinit.target"): "systemctl disable nftables.service",
    ("nftables.service", "runs, and nothing enables it"): "",
    ("x.timer", "masked: it cannot start"): "systemctl unmask x.timer",
    ("x.timer", "masked until the next boot: it cannot start"): "systemctl unmask --runtime x.timer",
    ("x.service", "another name of /usr/lib/systemd/system/y.service"): (
        "find /etc/systemd /run/systemd /usr/local/lib/systemd -type l -name x.service -delete; " + RELOAD
    ),
    ("x.timer", "disabled by hand: its package enabled it for timers.target"): "systemctl enable x.timer",
    ("x.service", "runs, and nothing enables it"): "systemctl stop x.service",
    ("x.timer", "made by a command, such as systemd-run; gone after a boot"): (
        "systemctl reset-failed x.timer; systemctl stop x.timer"
    ),
    ("user a.service", "unit file /etc/systemd/user/a.service"): (
        f"systemctl --global disable a.service; rm /etc/systemd/user/a.service; {RELOAD}"
    ),
    ("user a.service", "masked: it cannot start"): "systemctl --global unmask a.service",
    ("generator /etc/systemd/system-generators/x", "root runs it"): (
        f"rm /etc/systemd/system-generators/x; {RELOAD}"
    ),
    ("preset /etc/systemd/system-preset/00-x.preset", "says what is enabled → /x"): (
        f"rm /etc/systemd/system-preset/00-x.preset; {RELOAD}"
    ),
    ("runs at shutdown /usr/lib/systemd/system-shutdown/x", "root runs it"): (
        f"rm /usr/lib/systemd/system-shutdown/x; {RELOAD}"
    ),
    ("a.service", f"unit file {ETC}/a.service, its content changed"): "",
    ("a.service", f"gone; was: unit file {ETC}/a.service"): "",
    ("reading units", "cannot be read: no"): "",
}
PROGRAMS = {
    ("/srv/su", "file 4755 root:root, runs as uid 0, in no package"): "rm /srv/su",
    ("/usr/lib/x.so", "file 0644 root:root, in no package"): "rm /usr/lib/x.so",
    ("/usr/bin/find", "file 4755 root:root, runs as uid 0"): "chmod u-s,g-s /usr/bin/find",
    ("/usr/bin/find", "file 4777 root:root, runs as uid 0, others than root can change it"): (
        "chmod go-w /usr/bin/find && chmod u-s,g-s /usr/bin/find"
    ),
    ("/usr/bin/less", "file 0755 root:root, has capabilities of root's"): f"{UNCAP} /usr/bin/less",
    (
        "/usr/bin/less",
        "file 6755 root:root, runs as uid 0 and runs as gid 0 and has capabilities of root's",
    ): (f"chmod u-s,g-s /usr/bin/less && {UNCAP} /usr/bin/less"),
    # chown(1) would remove the setuid bit of su.
    ("/usr/bin/su", "file 4777 root:root, others than root can change it"): "chmod go-w /usr/bin/su",
    ("/usr/bin/mawk", "file 0755 games:root, others than root can change it"): (
        "chown root /usr/bin/mawk && chmod go-w /usr/bin/mawk"
    ),
    ("/usr/bin/less", "not as less ships it"): f"{REINSTALL} less && {WALK}",
    (
        "/usr/bin/less",
        "file 4755 root:root, runs as uid 0, not as less ships it",
    ): f"{REINSTALL} less && {WALK}",
    ("/usr/bin/less", "is missing, less ships it"): f"{REINSTALL} less",
    ("nightly walk", "never ran: see systemctl status portcullis-inventory.timer"): WALK,
}
PACKAGES = {
    ("tree", "installed by hand"): "apt-get purge -y tree",
    ("libx++", "installed by hand, from http://evil.example/apt"): "apt-get purge -y libx++",
    ("evil", "from http://evil.example/apt"): "apt-get purge -y evil",
    ("openssl", "held at its version: it gets no security updates"): "apt-mark unhold openssl",
    ("tree", "installed by hand, held at its version: it gets no security updates"): (
        "apt-mark unhold tree && apt-get purge -y tree"
    ),
    ("x", "installed by hand, held at its version: it gets no security updates, was: installed by hand"): (
        "apt-mark unhold x"
    ),
    ("x", "installed by hand, was: installed by hand, held at its version: it gets no security updates"): "",
}
KERNEL = {
    ("sysctl net.ipv4.conf.eth0.route_localnet", "1; the kernel has 0 by itself"): (
        "sysctl -w net.ipv4.conf.eth0.route_localnet=0"
    ),
    ("sysctl kernel.hotplug", "/x; the kernel has nothing by itself"): "sysctl -w kernel.hotplug=",
    ("sysctl kernel.core_pattern", "|/x; /etc/sysctl.d/a b.conf says |/y %p"): "",
    ("sysctl kernel.core_pattern", "|/x; /etc/sysctl.d/a.conf says |/y %p"): (
        "sysctl -w kernel.core_pattern='|/y %p'"
    ),
    ("sysctl a.b", "2; the kernel has 0 by itself, was: 1; the kernel has 0 by itself"): "sysctl -w a.b=1",
    ("link br9", "bridge"): "ip link del br9",
    ("link sit0", "sit"): "ip link set sit0 down",
    ("link br9", "bridge, was: bridge, in br8"): "",
    ("address 192.0.2.9/32 on eth0", "set on this host"): "ip address del 192.0.2.9/32 dev eth0",
    ("address 2001:db8::9/128 on eth0", "sent by a router (ra)"): "ip address del 2001:db8::9/128 dev eth0",
    ("rule 99: from 192.0.2.0/25 lookup 99", "chooses a table of routes"): "ip rule del pref 99",
    ("rule 99: from all lookup 99 (IPv6)", "chooses a table of routes"): "ip -6 rule del pref 99",
    ("route 203.0.113.0/25 via 198.51.100.66 dev eth0", "set on this host"): (
        "ip route del 203.0.113.0/25 via 198.51.100.66 dev eth0"
    ),
    ("route default via 198.51.100.66 dev eth0", "set on this host, metric 4000"): (
        "ip route del default via 198.51.100.66 dev eth0 metric 4000"
    ),
    ("route default via fe80::1 dev eth0", "sent by a router (ra), preference high, metric 1024"): (
        "ip -6 route del default via fe80::1 dev eth0 metric 1024"
    ),
    ("route blackhole 10.0.0.0/8 table 99", "set on this host"): "ip route del blackhole 10.0.0.0/8 table 99",
    ("route default dev wg0", "set on this host"): (
        "ip route del default dev wg0 || ip -6 route del default dev wg0"
    ),
    ("route default dev wg0 (IPv6)", "set on this host"): "ip -6 route del default dev wg0",
    ("route default via 192.0.2.1 dev a via 192.0.2.2 dev b", "set on this host"): "",
    ("reading routes", "cannot be read: no"): "",
}
DOCKER = {
    ("container leak", "mysql:8"): "docker rm -f leak",
    ("network lan", "macvlan on eth0: passes all firewalls"): "docker network rm lan",
    ("volume v", "local"): "docker volume rm v",
    ("image drill/tagged:1", "has a tag, which images of ours have not"): "docker rmi drill/tagged:1",
    ("plugin vieux/sshfs:latest", "enabled; it runs as root on the host"): (
        "docker plugin rm -f vieux/sshfs:latest"
    ),
    ("member bridge: redis", "was connected by hand"): "docker network disconnect bridge redis",
    (
        "swarm mode",
        "this host manages a swarm",
    ): "docker swarm leave --force && docker network rm docker_gwbridge",
    ("container x", "alpine:3, was: alpine:2"): "",
    ("reading Docker's networks", "cannot be read: no"): "",
}
EVERY = {
    "accounts": ACCOUNTS, "keys": KEYS, "files": FILES, "units": UNITS, "programs": PROGRAMS,
    "packages": PACKAGES, "kernel": KERNEL, "docker": DOCKER,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "key", "text", "wanted"),
    [(name, *entry, wanted) for name, table in EVERY.items() for entry, wanted in table.items()],
)
def test_the_command_of_each_kind_of_entry(name: str, key: str, text: str, wanted: str) -> None:
    assert command(name, key, text) == wanted
    if wanted:
        subprocess.run(["sh", "-nc", wanted], check=True)  # the shell can parse it
        assert command(name, key, f"{text} (changed 2026-11-27T08:00:12Z, who: unknown)") == wanted


@pytest.mark.parametrize(
    ("name", "key", "text", "verb"),
    [
        ("files", "/etc/x", "file 0644 root:root", "remove it"),
        ("files", "/etc/x", "file 0666 root:root, Debian's is root:root 0644", "mend it"),
        ("files", "/etc/x", "is missing, less ships it", "put it back"),
        ("files", "/etc/x", "file 0644 root:root, not as less ships it", "put it back"),
        ("files", "/etc/alternatives/x", "link to /x, chosen by hand for x", "put it back"),
        ("files", "/etc/x", "file 0644 root:root, diverted by hand to /y", "remove it"),
        ("units", "x.timer", "disabled by hand: its package enabled it for timers.target", "put it back"),
        ("units", "x.timer", "masked: it cannot start", "remove it"),
        ("programs", "nightly walk", "never ran", "start it"),
        ("accounts", "news", "uid 9, shell /usr/sbin/nologin, a password", "mend it"),
        ("kernel", "sysctl a.b", "1; the kernel has 0 by itself", "mend it"),
    ],
)
def test_the_verb_of_each_command(name: str, key: str, text: str, verb: str) -> None:
    assert remedy(name, key, text) == f"{verb} yourself: {command(name, key, text)}"


def paste(debian: Debian, line: str) -> None:
    """Run a command, with the fake host's folder in place of /."""
    root = debian.root
    for top in ("/etc/", "/usr/", "/opt/", "/home/"):
        line = line.replace(f" {top}", f" {root}{top}").replace(f" '{top}", f" '{root}{top}")
    subprocess.run(
        ["sh", "-c", line.replace("=/home", f"={root}/home")], check=True, stdin=subprocess.DEVNULL
    )


def undone(debian: Debian, path: str) -> dict[str, str]:
    """Run the command for a path, and return the report after the command."""
    text = files.read(debian.look())["files"][path].text
    shown = path.replace("\n", "?")
    paste(debian, command("files", shown, text))
    return {key: entry.text for key, entry in files.read(debian.look())["files"].items()}


def test_an_undeclared_file_is_removed_whatever_its_name(debian: Debian) -> None:
    names = ["/etc/evil", "/etc/a b", "/etc/'q\"", "/etc/$(x)", "/opt/drill\nodd", "/etc/is it?"]
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
    debian.package("bash", {"/etc/skel/.bashrc": "x\n"}, conffiles=("/etc/skel/.bashrc",))
    debian.file("/home/deploy/.bashrc", "evil\n")
    os.chown(debian.at("/home/deploy"), 1000, 1000)
    assert undone(debian, "/home/deploy/.bashrc") == {}
    assert debian.at("/home/deploy/.bashrc").stat().st_uid == 1000
    debian.link("/etc/mtab", "/srv/evil")
    assert undone(debian, "/etc/mtab") == {}


def test_a_link_in_a_home_is_not_followed(debian: Debian) -> None:
    """The owner of a home must not be able to make root write to another file."""
    debian.package("bash", {"/etc/skel/.bashrc": "x\n"}, conffiles=("/etc/skel/.bashrc",))
    debian.file("/etc/precious", "precious")
    debian.at("/home/deploy").mkdir(parents=True)
    debian.link("/home/deploy/.bashrc", str(debian.at("/etc/precious")))
    undone(debian, "/home/deploy/.bashrc")
    assert debian.at("/etc/precious").read_text() == "precious"


def test_only_one_line_is_removed_from_a_key_file(host: Host) -> None:
    host.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP///////////////////////////////////////////w== mine"
    path = host.write("root/.ssh/authorized_keys", f"# mine\n{other}\nrestrict {key} evil\n{key}\n")
    ((name, entry), *_) = [
        each for each in accounts.read(host.look())["keys"].items() if "evil" in each[1].text
    ]
    line = command("keys", name, entry.text)
    subprocess.run(["sh", "-c", line.replace(" /root", f" {host.root}/root")], check=True)
    assert path.read_text() == f"# mine\n{other}\n"
