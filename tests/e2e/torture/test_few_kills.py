"""Kills during deployments of a small stack: two in `make test-all`, and many in `make torture`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from lab.relay import Relay
from tests.e2e.host.watch import agents, of_folder, wait_for
from tests.e2e.project import Project
from tests.e2e.torture import draw, record
from tests.e2e.torture.victims import Victims

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.pytest_lab import Host

PROGRAM = """
folder = Directory("folder", host="web1", path="/etc/torture")
for number in range(8):
    File(f"file-{{number}}", host="web1", path=f"/etc/torture/{{number}}", content="{content}\\n",
         test=["sleep", "0.5"], opts=pulumi.ResourceOptions(depends_on=[folder]))
"""
VICTIMS = dict.fromkeys(("plugin", "agent", "ssh", "cut"), 1)
if draw.KILLS:
    # A killed engine may lose its state's attributes (docs/tests.md), at a moment that no seed decides.
    # So only `make torture` kills it.
    VICTIMS["engine"] = 1
SECONDS = 1.5
"""That the files take; within it the victim is struck."""

ROUNDS = [
    draw.drawn("few", number, VICTIMS, {"update": 1}) for number in range(1, 1 + (draw.KILLS // 2 or 2))
]


class Small(Project):
    """A small stack of files on a host that is reached through a relay."""

    def __init__(self, folder: Path, host: Host) -> None:
        super().__init__(folder, host, name="few")
        self.relay = Relay((host.address, host.ssh_port))

    def declare(self, content: str) -> None:
        address, port = self.relay.address
        self.program(PROGRAM.format(content=content), address=address, port=port)

    def close(self) -> None:
        super().close()
        self.relay.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, module_host: Host) -> Iterator[Small]:
    made = Small(tmp_path_factory.mktemp("few") / "few", module_host)
    made.declare("begin")
    made.up()
    yield made
    made.close()


@pytest.mark.parametrize("drawn", ROUNDS, ids=str)
def test_a_kill_is_mended_by_the_next_up(small: Small, module_host: Host, drawn: draw.Round) -> None:
    with record.noted(draw.SEED, "few", str(drawn)) as found:
        found |= {"victim": drawn.victim, "deed": drawn.deed}
        carry_out(small, module_host, drawn)


def carry_out(small: Small, host: Host, drawn: draw.Round) -> None:
    """Kill or break the victim of a round during an `up`. The next `up` has to repair everything."""
    content = str(drawn)
    small.declare(content)
    victims = Victims(small, drawn.dice())
    deed = small.start("up", "--yes", "--skip-preview")
    changed = f"grep -q {content} /etc/torture/*"
    wait_for("the first file", lambda: host.run(changed, check=False).returncode == 0)
    time.sleep(drawn.moment * SECONDS)
    victims.strike(drawn.victim, deed)
    small.finish(deed, "up", time.monotonic()).lacks("Traceback")
    wait_for("the agent to finish and end", lambda: not agents(host))
    wait_for("all processes on this machine to end", lambda: not of_folder(host, small.folder))
    if drawn.victim == "engine":
        small.cancel()
    small.up()
    small.unchanged()
    assert host.run("cat /etc/torture/*").stdout == f"{content}\n" * 8
    left = "ls /run/portcullis; find /etc/torture /var/lib/portcullis -name '.*' -o -name '*.pyz.*'"
    assert host.run(left, check=False).stdout == ""
