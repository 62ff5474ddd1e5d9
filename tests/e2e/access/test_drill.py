"""The lock-out drill proves that no declared change locks people out of the host.

`make drill` deploys all dangerous changes, and `make test` four of them.

Each test deploys one change of `drill.CHANGES` with a real engine over the host's own sshd. Then the same
user has to log in again and become root, and every resource has to be as before the change.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.access.drill import BASE, CHANGES, FILTER, PROGRAM, TAKEN_BACK, Hostile
from tests.e2e.host.watch import agents, wait_for
from tests.e2e.project import Project
from tests.e2e.torture import draw, record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.pytest_lab import Host

WINDOW = 30  # seconds until a host undoes a change that nobody confirms
UNDONE = "Portcullis undid a change that nobody confirmed"
GUARDS = "/var/lib/portcullis/guards"


class Drill(Project):
    """The project of the drill, which can declare a dangerous change, and test the login."""

    def declare(self, change: Hostile | None = None) -> None:
        """Write the program, with a dangerous change or without one."""
        parts = BASE | ({change.part: change.text} if change else {})
        key = self.host.identity_file.with_suffix(".pub").read_text().strip()
        port = change.on_port if change else 22
        address = self.host.address6 if change and change.by_ipv6 else self.host.address
        text = PROGRAM.format(key=key, here=self.here(), **parts)
        self.program(text, user="deploy", bootstrap_user="root", port=port, address=address)

    def here(self) -> str:
        """Return the address from which this machine reaches the host."""
        route = ["ip", "-json", "route", "get", self.host.address]
        done = subprocess.run(route, capture_output=True, text=True, check=True)
        return done.stdout.partition('"prefsrc":"')[2].partition('"')[0]

    def enters(self) -> bool:
        """Whether the user that deploys gets in by a fresh login and may become root."""
        config = self.folder / ".portcullis" / "e2e" / "ssh_config"
        argv = ["ssh", "-F", str(config), "-o", "ControlPath=none", "-o", "ConnectTimeout=60"]
        done = subprocess.run(
            [*argv, "web1", "sudo", "-n", "id", "-u"],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        return done.stdout.strip() == "0"


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory, module_host: Host) -> Iterator[Drill]:
    made = Drill(tmp_path_factory.mktemp("drill") / "program", module_host, name="drill")
    made.env["PORTCULLIS_GUARD_SECONDS"] = str(WINDOW)
    made.declare()
    module_host.run(f"mkdir -p /etc/fail2ban/filter.d; {FILTER}")
    made.up()
    made.unchanged()
    assert made.enters()
    yield made
    made.close()


@pytest.mark.once
@pytest.mark.parametrize("name", CHANGES)
def test_a_hostile_change_locks_nobody_out(drill: Drill, module_host: Host, name: str) -> None:
    change, host = CHANGES[name], module_host
    if change.before:
        host.run(change.before)
    drill.declare(change)
    if TAKEN_BACK in change.says:
        record.note(draw.SEED, "lock-out", name, fault="not undone")
    try:
        said = drill.up(fails=True)
    finally:
        if change.afterwards:
            host.run(change.afterwards)
    print(said.error)  # noqa: T201 - what people read, shown with -rP
    said.has(*(words.replace("{here}", drill.here()) for words in change.says))
    said.lacks("a fault in Portcullis itself")
    drill.declare()
    # As it is declared now: the program has not run yet, and the host is where it was.
    assert drill.enters(), said.output
    assert host.run(f"ls {GUARDS}", check=False).stdout == ""
    drill.unchanged()
    if TAKEN_BACK in change.says:
        record.note(draw.SEED, "lock-out", name, fault="")


def test_after_all_of_them_every_resource_is_as_it_was(drill: Drill) -> None:
    drill.declare()
    drill.unchanged()


def deploy(drill: Drill, change: Hostile, *, window: int) -> subprocess.Popen[str]:
    """Start to deploy a change, and return once the host's undo is armed and the change made."""
    drill.declare(change)
    process = drill.start("up", "--yes", "--skip-preview", env={"PORTCULLIS_GUARD_SECONDS": str(window)})
    wait_for(
        "the undo to be armed",
        lambda: "undo.json" in drill.host.run(f"ls {GUARDS}/*", check=False).stdout,
    )
    wait_for("the change", lambda: not drill.enters())
    return process


@pytest.mark.once
def test_a_deployer_that_is_killed_in_the_middle(drill: Drill, module_host: Host) -> None:
    # The deployer gives up after a third of the window: it is killed before that, on a busy machine too.
    process = deploy(drill, CHANGES["v6-only"], window=75)
    os.killpg(process.pid, signal.SIGKILL)
    drill.finish(process, "up", time.monotonic())
    drill.declare()
    wait_for("the host to restore itself", drill.enters, 150)
    drill.cancel()
    wait_for("it to be done", lambda: not module_host.run(f"ls {GUARDS}", check=False).stdout)
    # Said last of all, when the guard's folder is gone already.
    said = "journalctl --sync; journalctl -q -u 'portcullis-guard-*'"
    wait_for("its word", lambda: UNDONE in module_host.run(said).stdout)
    drill.up().lacks(TAKEN_BACK)
    drill.unchanged()


@pytest.mark.once
def test_a_reboot_in_the_window(drill: Drill, module_host: Host) -> None:
    process = deploy(drill, CHANGES["v6-only"], window=120)
    os.killpg(process.pid, signal.SIGKILL)
    drill.finish(process, "up", time.monotonic())
    # One that is not through with its change when the host goes down takes it back itself.
    wait_for("the agent to go", lambda: not agents(module_host))
    module_host.reboot()
    drill.declare()
    wait_for("the boot unit to restore the host", drill.enters)
    said = "journalctl -q -u portcullis-guard"
    wait_for("its word", lambda: UNDONE in module_host.run(said).stdout)
    assert module_host.run("ls /etc/systemd/system/portcullis-guard.service", check=False).stdout == ""
    drill.cancel()
    drill.up()
    drill.unchanged()
