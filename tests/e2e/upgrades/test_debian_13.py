"""The commands of docs/runbooks.md upgrade a host with a deployed shop from Debian 12 to 13."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lab import debian, hosts, stack
from tests.docs.pages import RUNBOOKS, blocks
from tests.e2e.data.test_shop import ask, names, wait_until_well
from tests.e2e.host.watch import wait_for
from tests.e2e.inventory import report
from tests.e2e.project import STACK
from tests.e2e.stack.program import Program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.pytest_lab import Host

# A lab host has the kernel of the machine. So files of Debian 13 cannot change these settings there, and a
# preview shows them.
OF_THE_LAB = re.compile(r"sysctl (fs|kernel|vm)\.")


def run(program: Program, block: list[str]) -> str:
    """Run a code block of the runbooks in the project's folder, as a person does.

    Return the output of the block.
    """
    lines = [*blocks(RUNBOOKS)[0], *(line.replace("prod", STACK) for line in block)]
    done = subprocess.run(
        ["bash", "-c", "\n".join(["set -ex", *lines])],
        cwd=program.folder, env=program.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


def starts_again(host: Host) -> None:
    """A host of the lab that reboots by itself is only down: it is a container."""
    wait_for("the host to go down", lambda: " running " not in hosts.summary(host.engine, host.record))
    hosts.boot(host.engine, host.record)
    hosts.wait(host.engine, host.record)


@pytest.mark.timeout(2400)
def test_the_runbook_upgrades_a_host_under_a_deployed_stack(
    make_host: Callable[[str], Host], tmp_path: Path
) -> None:
    host = make_host("bookworm")
    # The pockets that Debian's installer writes, in the form that cloud images have.
    mirror = debian.mirror().replace("https://", "http://", 1)
    host.write(
        "/etc/apt/sources.list.d/debian.sources",
        f"Types: deb\nURIs: {mirror}-security\nSuites: bookworm-security\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
    )
    shop = Program(tmp_path / "program", host, stack.TEMPLATE.read_text(), os="debian-12")
    try:
        shop.up(timeout=800)
        report.walk(shop)
        report.quiet(shop, "the first up")
        assert ask(shop, "/api/items", {"name": "kept"})[0] == 201
        before, upgrade, after, anew = blocks(RUNBOOKS)[6:10]
        assert "to-13" in "".join(upgrade)

        begun = time.monotonic()
        run(shop, before)
        report.quiet(shop, "the last updates of Debian 12")
        said = run(shop, upgrade)
        sys.stdout.write(f"the upgrade took {time.monotonic() - begun:.0f} s\n")
        assert 'VERSION_ID="13"' in host.read("/etc/os-release"), said
        assert host.run("dpkg --audit").stdout == ""
        wait_until_well(shop)
        assert "settings declare debian-12" in report.read(shop).stderr

        with ThreadPoolExecutor() as pool:
            ran = pool.submit(run, shop, after)
            starts_again(host)
            ran.result()
        wait_until_well(shop)
        assert host.run("systemctl is-system-running", check=False).stdout.strip() == "running"
        assert "kept" in names(shop)
        told = [line.text for line in report.lines(shop) if not OF_THE_LAB.match(line.subject)]
        # What the runbook changed, and nothing else.
        assert {text.partition(":")[0] for text in told} == {
            "/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources",
        }  # fmt: skip

        run(shop, anew)
        report.quiet(shop, "the new record")
        host.run("echo '* * * * * root true' >/etc/cron.d/evil")
        (line,) = report.lines(shop)
        assert "/etc/cron.d/evil" in line.text
        host.run("rm /etc/cron.d/evil")
        host.reboot()
        wait_until_well(shop)
        assert "kept" in names(shop)
        report.quiet(shop, "a reboot")
        shop.up().has("unchanged").lacks("updated")
    finally:
        shop.close()
