"""A preview shows changes by hand of accounts, units, the kernel's network and Docker, by name."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lab import keys, machine
from tests.e2e.host.watch import on_host, wait_for

if TYPE_CHECKING:
    from tests.e2e.stack.program import Program

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
ETC = "/etc/systemd/system"
GENERATOR = "/etc/systemd/system-generators/evil"
FROM_ROUTER = "default via fe80::bad dev eth0 proto ra metric 4000"
PREVIEWS = 8


@dataclass(frozen=True)
class Deed:
    """A change by hand: its command, the words in the preview, and the command that undoes it."""

    does: str
    shown: tuple[str, ...]
    undone: str


def unit(name: str, text: str) -> str:
    return f"printf '{text}' > {ETC}/{name}"


DEEDS = {
    "account": Deed(
        "useradd -m -s /bin/bash mallory",
        ("mallory", "shell /bin/bash, no password"),
        "userdel -rf mallory 2>/dev/null; true",
    ),
    "key-of-root": Deed(
        f"echo '{KEY} evil@root' >> /root/.ssh/authorized_keys",
        ("web1-users-root", "evil@root"),  # the stack declares that root has no key
        "sed -i /evil@root/d /root/.ssh/authorized_keys",
    ),
    "key-without-a-shell": Deed(
        f"mkdir -p /var/www/.ssh; echo '{KEY} evil@www' > /var/www/.ssh/authorized_keys",
        ("www-data SHA256:", '\\"evil@www\\", in /var/www/.ssh/authorized_keys'),
        "rm -r /var/www/.ssh",
    ),
    "password-of-root": Deed(
        "echo root:correct-horse | chpasswd",
        ("a password, was: uid 0, shell /bin/bash, no password",),
        "usermod -p '*' root",
    ),
    "group": Deed(
        "gpasswd -a www-data adm",
        ("group adm: www-data", "reads the system's logs"),
        "gpasswd -d www-data adm",
    ),
    "linger": Deed(
        "mkdir -p /var/lib/systemd/linger; touch /var/lib/systemd/linger/www-data",
        ("linger www-data",),
        "rm /var/lib/systemd/linger/www-data",
    ),
    "timer": Deed(
        unit("evil.service", "[Service]\\nExecStart=/bin/true\\n")
        + "; "
        + unit("evil.timer", "[Timer]\\nOnCalendar=yearly\\n[Install]\\nWantedBy=timers.target\\n")
        + "; systemctl daemon-reload; systemctl enable --now evil.timer",
        (f"unit file {ETC}/evil.timer; enabled for timers.target", f"unit file {ETC}/evil.service"),
        f"systemctl disable --now evil.timer; rm {ETC}/evil.*; systemctl daemon-reload",
    ),
    "drop-in": Deed(
        f"mkdir -p {ETC}/cron.service.d; printf '[Service]\\nNice=1\\n' > {ETC}/cron.service.d/evil.conf",
        ("cron.service", f"drop-in {ETC}/cron.service.d/evil.conf"),
        f"rm -r {ETC}/cron.service.d; systemctl daemon-reload",
    ),
    "mask": Deed(
        "systemctl mask dpkg-db-backup.service",
        ("dpkg-db-backup.service", "masked: it cannot start"),
        "systemctl unmask dpkg-db-backup.service",
    ),
    "disable": Deed(
        "systemctl disable --now dpkg-db-backup.timer",
        ("dpkg-db-backup.timer", "disabled by hand: its package enabled it for timers.target"),
        "systemctl enable --now dpkg-db-backup.timer",
    ),
    "transient": Deed(
        "systemd-run --quiet --on-active=1h --unit=evil-run true",
        ("evil-run.timer", "made by a command, such as systemd-run"),
        "systemctl stop evil-run.timer",
    ),
    "generator": Deed(
        f"mkdir -p /etc/systemd/system-generators; printf '#!/bin/sh\\n' > {GENERATOR}; "
        f"chmod 0755 {GENERATOR}",
        (f"generator {GENERATOR}",),
        "rm -r /etc/systemd/system-generators",
    ),
    "forwarding": Deed(
        "sysctl -qw net.ipv6.conf.all.forwarding=1",
        ("sysctl net.ipv6.conf.all.forwarding", "1; the kernel has 0 by itself"),
        "sysctl -qw net.ipv6.conf.all.forwarding=0",
    ),
    "address": Deed(
        "ip address add 203.0.113.66/32 dev lo",
        ("address 203.0.113.66/32 on lo",),
        "ip address delete 203.0.113.66/32 dev lo",
    ),
    "route": Deed(
        "ip route add blackhole 10.99.0.0/16; ip -6 route add " + FROM_ROUTER,
        ("route blackhole 10.99.0.0/16", "route default via fe80::bad dev eth0", "sent by a router (ra)"),
        "ip route delete blackhole 10.99.0.0/16; ip -6 route delete " + FROM_ROUTER,
    ),
    "rule": Deed(
        "ip rule add fwmark 0x66 lookup 66",
        ("fwmark 0x66 lookup 66",),
        "ip rule delete fwmark 0x66 lookup 66",
    ),
    "bridge": Deed("ip link add evil0 type bridge", ("link evil0", '"bridge"'), "ip link delete evil0"),
    "container": Deed(
        "docker create --name leak --privileged --pid=host -v /:/hostfs IMAGE /bin/busybox sleep 9999",
        ("container leak", "privileged, sees the host's processes, mounts / at /hostfs"),
        "docker rm -f leak",
    ),
    "namespace": Deed(
        "docker run -d --name joined --network container:hello IMAGE /bin/busybox sleep 9999",
        ("container joined", "in the network of hello"),
        "docker rm -f joined",
    ),
    "member": Deed(
        "docker network connect bridge hello",
        ("member bridge: hello", "was connected by hand"),
        "docker network disconnect bridge hello",
    ),
    "network": Deed(
        "docker network create -d macvlan -o parent=eth0 rt1macvlan",
        ("network rt1macvlan", "macvlan on eth0: passes all firewalls"),
        "docker network rm rt1macvlan",
    ),
    "volume": Deed(
        "docker volume create loot", ("volume loot", '"local'), "docker volume rm loot"
    ),
}  # fmt: skip


def quiet(program: Program) -> None:
    """Assert that a preview finds no difference."""
    program.preview("--expect-no-changes").lacks("Inventory: (refresh)")


@pytest.fixture(scope="module")
def finished(deployed: Program) -> Program:
    """Return a finished host with an app and a site, after a preview without a difference."""
    quiet(deployed)
    return deployed


def test_a_quiet_host_stays_quiet_through_restarts_and_a_reboot(finished: Program) -> None:
    finished.docker("restart", "-t", "2", "hello")
    quiet(finished)
    finished.host.run("systemctl restart docker; systemctl daemon-reexec")
    finished.wait_for_page("hello")
    quiet(finished)
    finished.host.reboot()
    finished.wait_for_page("hello")
    for _ in range(PREVIEWS):
        quiet(finished)


def test_what_is_done_by_hand_shows_by_name_all_at_once_and_is_quiet_when_it_is_undone(
    finished: Program,
) -> None:
    image = finished.image("hello:1")
    try:
        for deed in DEEDS.values():
            finished.host.run("set -e; " + deed.does.replace("IMAGE", image))
        said = finished.preview("--expect-no-changes", fails=True)
        missing = []
        for name, deed in DEEDS.items():
            try:
                said.has(*deed.shown)
            except AssertionError as error:
                missing.append(f"{name}: {str(error).partition(' is not in:')[0]}")
        assert not missing, "\n".join([*missing, said.output])
    finally:
        for deed in DEEDS.values():
            finished.host.run(deed.undone, check=False)
    quiet(finished)


def test_a_change_names_who_was_logged_in(finished: Program) -> None:
    timer, host = f"{ETC}/evil.timer", finished.host
    known = keys.known_hosts(host.name, host.address)
    as_root = machine.ssh_argv(host.record, known, host.identity_file)
    argv = [*as_root[:-1], f"deploy@{host.address}", f"echo [Timer] | sudo tee {timer}; sleep 1"]
    login = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert login.returncode == 0, login.stderr
    try:
        said = finished.preview("--expect-no-changes", fails=True)
        said.has(f"unit file {timer}", "while deploy, key lab, ", ", was logged in")
        wait_for("the preview's own session to end", lambda: not on_host(host, "sshd-session: deploy"))
        time.sleep(2)  # logins are known by the second
        host.run(f"touch {timer}")  # from a console
        time.sleep(2)
        finished.preview("--expect-no-changes", fails=True).has("who: unknown")
    finally:
        host.run(["rm", timer])
    quiet(finished)
