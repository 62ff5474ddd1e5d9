"""To read a host takes one connection, and as few round trips for 500 files as for 10 files."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lab.relay import Relay
from portcullis.host.bundle import agent_bundle
from tests.e2e.host.watch import agents, of_folder, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.pytest_lab import Host
    from tests.e2e.project import Project

FILES = """
for n in range({count}):
    File(f"file-{{n}}", host="web1", path=f"/etc/{folder}/{{n}}", content=f"number {{n}}\\n" * 20, opts=after)
"""
FOLDER = """
after = pulumi.ResourceOptions(depends_on=[Directory("folder", host="web1", path="/etc/{folder}")])
"""
# A question for each file would be 490 turns and 50 000 bytes. A login, and windows that ssh grants in a long
# answer, are some twenty turns and a thousand bytes.
TURNS, BYTES = 200, 20_000


def test_ten_files_and_five_hundred_cost_one_connection_and_no_question_for_each_file(
    make_project: Callable[..., Project], module_host: Host
) -> None:
    host = module_host
    counted = {}
    with Relay((host.address, host.ssh_port)) as relay:
        for count in (10, 500):
            project = make_project()
            declared = (FOLDER + FILES).format(count=count, folder=f"cost-{count}")
            project.program(declared, address=relay.address[0], port=relay.address[1])
            project.up()
            for verb in (project.unchanged, project.refresh):
                relay.reset()
                verb()
                counted[count, verb.__name__] = relay.reset()
            wait_for("the agent to go", lambda: not agents(host))
            left = host.run(["pgrep", "-fa", agent_bundle().digest], check=False).stdout
            assert left == ""
            ours = functools.partial(of_folder, host, project.folder)
            wait_for("what the deployment started to go", lambda ours=ours: not ours())
    for verb in ("unchanged", "refresh"):
        few, many = counted[10, verb], counted[500, verb]
        assert few.connections == many.connections == 1
        assert max(few.round_trips, many.round_trips) < TURNS, counted
        assert many.sent - few.sent < BYTES, counted


def test_a_changed_address_is_no_difference(make_project: Callable[..., Project], module_host: Host) -> None:
    """Every command runs the program first, so the refresh uses the present address of the host."""
    host = module_host
    project = make_project()
    declared = """
        File("motd", host="web1", path="/etc/motd", content="here\\n", adopt=True)
        Service("cron", host="web1", unit="cron.service", reads=["/etc/crontab"])
    """
    with Relay((host.address, host.ssh_port)) as first:
        project.program(declared, address=first.address[0], port=first.address[1]).up()
        project.unchanged()
    # Nothing listens at the old address any more, so a connection to it would fail.
    with Relay((host.address, host.ssh_port)) as second:
        project.program(declared, address=second.address[0], port=second.address[1])
        project.unchanged()
        project.up().has("3 unchanged")
        assert second.counts.connections == 2
    project.program(declared, address=host.address6).unchanged()
    host.run("echo drift >> /etc/motd")
    project.up()
    assert host.read("/etc/motd") == "here\n"
    stored = project.run("stack", "export").output
    for fact in (host.address, host.address6, "127.0.0.1", host.host_key.split()[1], str(host.identity_file)):
        assert fact not in stored, "the state must not have facts of the connection"
    project.program(declared).destroy()
