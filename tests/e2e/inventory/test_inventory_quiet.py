"""Reboots, updates, backups and bans happen on a host, and no preview shows a difference."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lab import acme, stack
from tests import drill
from tests.e2e.data.test_shop import wait_until_well
from tests.e2e.host.watch import wait_for
from tests.e2e.inventory import report
from tests.e2e.stack.program import Program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.pytest_lab import Host

OS = {"trixie": "debian-13", "bookworm": "debian-12"}
ATTACKER = "203.0.113.66"
# A package that a VPS has, but not the bare host of the lab.
USUAL = "logrotate"
# The host has the package sources with updates from the start. The pin holds the updates back until the test
# installs them.
_PIN = """\
Package: *
Pin: release n={codename}-security
Pin-Priority: 50

Package: *
Pin: release n={codename}-updates
Pin-Priority: 50
"""
_NO_PIN = "/run/no-pin.conf"
_UNPINNED = f"APT_CONFIG={_NO_PIN} DEBIAN_FRONTEND=noninteractive"
_REINSTALLED = "openssh-server sudo cron ca-certificates ufw fail2ban nginx-common systemd libpam-runtime"


def offer_newer_packages(host: Host, codename: str) -> None:
    """Give a bare host the pockets that Debian's installer writes, and what else a VPS has."""
    mirror = re.findall(r"^deb (?:\[.*?\] )?(\S+?)/? ", host.read("/etc/apt/sources.list"), re.MULTILINE)[0]
    host.write(
        "/etc/apt/sources.list.d/pockets.list",
        f"deb {mirror} {codename}-updates main\ndeb {mirror}-security {codename}-security main\n",
    )
    host.write("/etc/apt/preferences.d/later", _PIN.format(codename=codename))
    # The lab chooses the zone by a link alone. In Debian 12 the next tzdata would write that zone down here.
    zone = "readlink /etc/localtime | sed s,/usr/share/zoneinfo/,,"
    host.run(f"[ ! -e /etc/timezone ] || {zone} >/etc/timezone")
    host.run("apt-get -qq update")
    host.run(f"DEBIAN_FRONTEND=noninteractive apt-get -qq -y install {USUAL} >/dev/null")
    host.reboot()  # as a machine that is rented has booted before


@dataclass
class Life:
    """The ordinary events of a host. `previews` counts the previews without a difference."""

    program: Program
    previews: int = 0

    def __call__(self, after: str, times: int = 1) -> None:
        for _ in range(times):
            report.quiet(self.program, after)
            self.previews += 1

    @property
    def host(self) -> Host:
        return self.program.host

    def reboots(self) -> None:
        self.host.reboot()
        self.wait()

    def wait(self) -> None:
        """Until all containers are well."""
        wait_for("the containers", lambda: "starting" not in self.program.docker("ps"))

    def rotates_logs(self) -> None:
        self.host.run("logrotate -f /etc/logrotate.conf")

    def bans(self) -> None:
        said = self.host.run(["fail2ban-client", "set", "sshd", "banip", ATTACKER]).stdout
        assert said.strip() == "1"

    def lets_in_again(self) -> None:
        self.host.run(["fail2ban-client", "set", "sshd", "unbanip", ATTACKER])

    def backs_up(self) -> None:
        self.host.run(["systemctl", "start", "portcullis-backup.service"])

    def does_what_timers_do(self) -> None:
        units = "apt-daily dpkg-db-backup systemd-tmpfiles-clean portcullis-image-prune logrotate"
        for unit in units.split():
            self.host.run(["systemctl", "start", f"{unit}.service"])
        report.walk(self.program)

    def renews(self) -> None:
        """What certbot's timer does when a certificate is due."""
        confs = "/etc/letsencrypt/renewal/*.conf"
        authority = acme.of(self.host.record)
        before = authority.orders
        self.host.run(f"sed -i '1i renew_before_expiry = 100 days' {confs}")
        self.host.run("systemctl start certbot.service")
        self.host.run(f"sed -i '/renew_before_expiry/d' {confs}")
        assert authority.orders > before

    def installed(self) -> dict[str, str]:
        said = self.host.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\\n"]).stdout
        return dict(line.split(" ", 1) for line in said.splitlines())

    def offered(self) -> set[str]:
        """Packages of which a pocket has a newer version."""
        self.host.write(_NO_PIN, 'Dir::Etc::PreferencesParts "/nonexistent";\n')
        said = self.host.run(f"{_UNPINNED} apt-get -qq -s dist-upgrade").stdout
        return set(re.findall(r"^Inst (\S+) \[", said, re.MULTILINE))

    def upgrades(self, *packages: str) -> int:
        """Install newer versions of some packages, or of all; return of how many."""
        before = self.installed()
        verb = f"install --only-upgrade {' '.join(packages)}" if packages else "dist-upgrade"
        self.host.run(
            f"{_UNPINNED} apt-get -qq -y -o Dpkg::Options::=--force-confold {verb} >/dev/null", timeout=600
        )
        after = self.installed()
        return sum(version != after.get(name) for name, version in before.items())

    def upgrades_unattended(self) -> None:
        self.host.run(f"{_UNPINNED} unattended-upgrade --verbose", timeout=600)

    def reinstalls(self) -> None:
        self.host.run(
            f"DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --reinstall {_REINSTALLED} >/dev/null",
            timeout=600,
        )


def one_week(life: Life) -> None:
    """The short run: a reboot, rotated logs, a ban, an upgrade and a backup."""
    life.reboots()
    life("a reboot")
    life.rotates_logs()
    life.bans()
    life("rotated logs and a ban")
    offered = life.offered()
    if offered:
        assert life.upgrades(min(offered)) >= 1
    else:
        life.reinstalls()  # directly after a point release of Debian there are no newer packages
    life("an upgrade")
    life.backs_up()
    life("a backup")
    assert life.previews == 4


def half_a_year(life: Life) -> None:
    """The long run: every event, some of them twice."""
    wait_until_well(life.program)
    life("the first up", 2)
    for name in sorted(life.program.docker("ps", "--format", "{{.Names}}").split()):
        life.program.docker("restart", "-t", "5", name)
    wait_until_well(life.program)
    life("restarts of all containers")
    life.host.run("systemctl restart nginx docker ssh fail2ban cron")
    wait_until_well(life.program)
    life("restarts of all services")
    life.bans()
    life("a ban")
    life.lets_in_again()
    life("the end of a ban")
    life.rotates_logs()
    life("rotated logs")
    life.renews()
    life("a renewed certificate", 2)
    life.backs_up()
    life("a backup")
    life.does_what_timers_do()
    life("a night")
    offered = life.offered()
    life.upgrades_unattended()
    wait_until_well(life.program)
    life("security updates", 2)
    life.upgrades()
    assert not life.offered(), offered
    wait_until_well(life.program)
    life("all updates")
    life.reboots()
    life("a reboot after updates", 2)
    life.reinstalls()
    wait_until_well(life.program)
    life("packages that were installed again")
    life.does_what_timers_do()
    life("another night")
    life.reboots()
    wait_until_well(life.program)
    life("the last reboot", 2)
    assert life.previews == 20


RUNS = [("trixie", half_a_year), ("bookworm", half_a_year)] if drill.is_whole() else [("trixie", one_week)]


@pytest.mark.parametrize(("suite", "lives"), RUNS)
@pytest.mark.timeout(3600)
def test_what_happens_by_itself_is_no_difference(
    suite: str, lives: Callable[[Life], None], make_host: Callable[[str], Host], tmp_path: Path
) -> None:
    host = make_host(suite)
    offer_newer_packages(host, suite)
    settings = stack.TEMPLATE.read_text() if lives is half_a_year else ""
    program = Program(tmp_path / "program", host, settings, os=OS[suite])
    try:
        if not settings:
            program.set("stores", redis={"image": program.image("redis:7")})
        program.up(timeout=800)
        report.walk(program)
        lives(Life(program))
    finally:
        program.close()
