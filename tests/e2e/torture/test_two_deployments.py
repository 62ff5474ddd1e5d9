"""Two deployments to one host run at the same time.

One succeeds. The error of the other says who has the lock.

The lock of a killed deployment becomes free. `make test` runs one race, `make torture` runs fifty (RACES=50).
"""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from lab.relay import Relay
from tests.e2e.host.watch import agents, of_folder, on_host, wait_for
from tests.e2e.project import STACK, Project
from tests.e2e.torture import draw, record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.pytest_lab import Host

RACES = int(os.environ.get("RACES") or 1)
VANISHES = 10
"""One of so many owners loses its line before it is killed, so that the host does not hear it hang up."""
LOCK = "/run/portcullis/deploy.lock"
GO = "/run/race-go"
"""A deployment goes on when this file is there; in a race of `make torture` also after two seconds."""
TRIES, FILES = (10, 1) if RACES > 1 else (250, 6)
"""The agent ends a file's test after 60 s, so a long deployment has several files."""
HOLD = f"for i in $(seq {TRIES}); do [ -e {GO} ] && exit; sleep 0.2; done"
PROGRAM = """
before = []
for number in range({files}):
    path, opts = f"/etc/race-{name}-{{number}}", pulumi.ResourceOptions(depends_on=before)
    test = ["sh", "-c", "{hold}"]
    before = [File(f"file-{{number}}", host="web1", path=path, content="{content}\\n", test=test, opts=opts)]
"""
HOLDS = re.compile(r"\S+@\S+ \(pid \d+\) \(stack (\S+), since [^)]+\) is deploying to this host")


class Racer(Project):
    """One of the two deployments, with its own project, state and connection."""

    def __init__(self, folder: Path, host: Host, name: str) -> None:
        super().__init__(folder, host, name=name)
        self.relay = Relay((host.address, host.ssh_port))

    def declare(self, content: str) -> None:
        address, port = self.relay.address
        self.program(
            PROGRAM.format(name=self.name, content=content, hold=HOLD, files=FILES),
            address=address,
            port=port,
        )

    def close(self) -> None:
        super().close()
        self.relay.close()


@pytest.fixture(scope="module")
def racers(tmp_path_factory: pytest.TempPathFactory, module_host: Host) -> Iterator[tuple[Racer, Racer]]:
    folder = tmp_path_factory.mktemp("races")
    module_host.run(["touch", GO])
    made = Racer(folder / "one", module_host, "one"), Racer(folder / "two", module_host, "two")
    for racer in made:
        racer.declare("begin")
        racer.up()
    yield made
    for racer in made:
        racer.close()


@pytest.mark.parametrize("number", range(1, RACES + 1))
def test_one_wins_and_the_other_names_it_and_a_dead_owner_holds_no_lock(
    racers: tuple[Racer, Racer], module_host: Host, number: int
) -> None:
    with record.noted(draw.SEED, "race", str(number)) as found:
        found |= {"won": "", "free": 0.0}
        race(racers, module_host, number, found)


def race(racers: tuple[Racer, Racer], host: Host, number: int, found: dict[str, Any]) -> None:
    """Let both deploy, then one that is killed.

    Note in `found` who won, and how long the lock of the killed deployment was held.
    """
    before = {racer: read(host, racer) for racer in racers}
    host.run(["rm", "-f", GO])
    begun = time.monotonic()
    for racer in racers:
        racer.declare(f"round {number}")
    first, second = racers
    processes = [first.start("up", "--yes", "--skip-preview")]
    if RACES == 1:
        wait_for("the first to be at work", lambda: on_host(host, GO))
    processes.append(second.start("up", "--yes", "--skip-preview"))
    ended = [second.finish(processes[1], "up", begun)]
    if RACES == 1:
        host.run(["touch", GO])
    ended.insert(0, first.finish(processes[0], "up", begun))
    host.run(["rm", "-f", GO])
    codes = [outcome.code for outcome in ended]
    assert sorted(map(bool, codes)) == [False, True], "\n".join(outcome.output for outcome in ended)
    won, lost = codes.index(0), 1 - codes.index(0)
    held = HOLDS.search(" ".join(ended[lost].output.split()))
    assert held, ended[lost].output
    assert held[1] == f"{racers[won].name}/{STACK}"
    ended[lost].lacks("Traceback")

    owner, other = racers[lost], racers[won]
    found["won"] = other.name
    wait_for("every agent to end", lambda: not agents(host))
    assert read(host, other) == f"round {number}\n" * FILES
    assert read(host, owner) == before[owner], "the deployment that lost has changed the host"
    assert host.run(["test", "-e", LOCK], check=False).returncode, "the lock is left behind"
    other.unchanged()

    process = owner.start("up", "--yes", "--skip-preview")
    wait_for("the owner to change its file", lambda: on_host(host, GO))
    if number % VANISHES == 0:
        owner.relay.lose()
    for ours in of_folder(host, owner.folder):
        os.kill(ours.pid, signal.SIGKILL)
    killed = time.monotonic()
    host.run(["touch", GO])
    owner.finish(process, "up", killed)
    wait_for("the lock to be free", lambda: is_free(host))
    found["free"] = time.monotonic() - killed
    owner.relay.cut()
    owner.cancel()
    other.declare(f"after {number}")
    other.up()
    owner.up()
    wait_for("every agent to end", lambda: not agents(host))
    assert host.run(f"cat /etc/race-*; ls {LOCK}", check=False).stdout == (
        "".join(f"{'after' if racer is other else 'round'} {number}\n" * FILES for racer in racers)
    )
    for racer in racers:
        racer.unchanged()


def read(host: Host, racer: Racer) -> str:
    """Return the content of a racer's files on the host."""
    return host.run(f"cat /etc/race-{racer.name}-*").stdout


def is_free(host: Host) -> bool:
    """Return whether the host's lock is free. The lock file may be missing."""
    return host.run(f"[ ! -e {LOCK} ] || flock -n {LOCK} true", check=False).returncode == 0
