"""Unattended security updates of Docker, nginx and OpenSSH end no container and lose no data."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from lab import stack
from tests.e2e.data.test_shop import Writers, names, wait_until_well
from tests.e2e.host.watch import wait_for
from tests.e2e.inventory import report
from tests.e2e.stack.program import Program
from tests.e2e.upgrades import newer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.pytest_lab import Host

OS = {"trixie": "debian-13", "bookworm": "debian-12"}
PACKAGES = [
    "containerd", "docker.io", "runc", "nginx", "nginx-common", "openssh-client", "openssh-server",
    "openssh-sftp-server",
]  # fmt: skip
PORT = 2222


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("suite", OS)
def test_security_updates_of_engine_proxy_and_ssh(
    suite: str, make_host: Callable[[str], Host], tmp_path: Path
) -> None:
    host = make_host(suite)
    shop = Program(tmp_path / "program", host, stack.TEMPLATE.read_text(), os=OS[suite], port=PORT)
    try:
        shop.up(timeout=800)
        report.walk(shop)
        report.quiet(shop, "the first up")
        containers, listeners = processes(shop), sshd(host)
        newer.offer(host, suite, PACKAGES)
        host.run("apt-get -qq update")
        # Slowly: the shop lists 500 items and no more.
        with Writers(shop, "night", pause=1.5) as writers:
            # What the timer starts at night.
            host.run("systemctl start apt-daily-upgrade.service", timeout=900)
            kept = len(writers.kept)
            wait_for("a visitor to be answered after the upgrade", lambda: len(writers.kept) > kept)
        told = host.read("/var/log/unattended-upgrades/unattended-upgrades.log")
        versions = host.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *PACKAGES]).stdout
        assert versions.count(newer.SUFFIX) == len(PACKAGES), f"{versions}{told}"
        sys.stdout.write(f"{suite}: {len(writers.kept)} requests answered, failed: {writers.failed}\n")

        assert processes(shop) == containers, "the upgrade of Docker must not end a container"
        assert sshd(host) == listeners
        assert host.run("systemctl is-system-running", check=False).stdout.strip() == "running"
        wait_until_well(shop)
        assert writers.kept
        assert writers.kept <= names(shop)
        # nginx is started anew for its new libraries, and visitors may find it closed.
        assert all("Connection refused" in failed for failed in writers.failed)
        newer.take_away(host)
        report.quiet(shop, "security updates")
        report.walk(shop)
        report.quiet(shop, "the walk of that night")
        host.reboot()
        wait_until_well(shop)
        assert writers.kept <= names(shop)
        report.quiet(shop, "a reboot after the updates")
    finally:
        shop.close()


def processes(shop: Program) -> dict[str, int]:
    """Return the process id of each container's first process."""
    listed = shop.docker("ps", "--format", "{{.Names}}").split()
    return {name: shop.inspect(name)["State"]["Pid"] for name in sorted(listed)}


def sshd(host: Host) -> set[str]:
    """Return the addresses and ports of sshd."""
    lines = host.run("ss -Htlnp").stdout.splitlines()
    return {line.split()[3] for line in lines if '"sshd"' in line}
