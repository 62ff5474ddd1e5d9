"""The CIS Docker Benchmark, v1.6.0, on a host that runs: facts in, findings out.

The items are those that can be decided from the daemon, its files and its containers; numbers as in
github.com/docker/docker-bench-security. Those that are left out need a person (2.1, 2.17, 4.2 and on, 5.3,
5.7, 5.9, 5.19, 5.23, 5.24, 5.28), or a part that is not there (3.7 to 3.14: no TLS socket, no private
registry; 3.21, 3.22: Red Hat's files; 6 and 7: habits, and Swarm). What we decide otherwise stands in WAIVED
with the reason, and is checked all the same: a waiver that is not needed is a finding.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.e2e.access import cis_containers, cis_daemon
from tests.e2e.access.cis import ITEMS, Facts, FileFact, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Importing them registers their items.
PARTS = (cis_daemon, cis_containers)

WAIVED = {
    "2.8": "ulimits are each app's own; memory, CPU and log limits are set on every container",
    "2.9": "they change the owner of every volume of the engine; containers run as a user that is not root, "
    "without capabilities, and cannot gain privileges",
    "2.12": "whoever reaches the socket is root here and is the deployer: there is nobody to tell apart",
    "2.13": "logs stay on the host, bounded; sending them away is a setting of whoever runs a log server",
    "2.16": "off, Docker sets route_localnet on every bridge, and a container reaches the host's 127.0.0.1",
    "5.15": "on-failure does not start containers after a reboot; health checks show a crash loop",
}
"""Items that we decide otherwise, and why; docs/hardening/docker.md says more."""


def audit(facts: Facts) -> list[Finding]:
    """Return everything that is wrong, waived items included."""
    return [Finding(one.number, one.title, fault) for one in ITEMS.values() for fault in one.faults(facts)]


def unexplained(findings: Sequence[Finding]) -> list[str]:
    """Return the findings that nobody waived, and the waivers that no finding needs."""
    found = {finding.item for finding in findings}
    idle = [f"{number} is waived and finds nothing" for number in WAIVED if number not in found]
    return [str(finding) for finding in findings if finding.item not in WAIVED] + idle


def collect(run: Callable[[str], str]) -> Facts:
    """Ask a host for the facts; `run` takes a line of sh and returns what it prints."""
    ids = run("docker ps -aq").split()
    containers = json.loads(run(f"docker inspect {' '.join(ids)}")) if ids else []
    files = {}
    paths = " ".join(cis_daemon.PATHS)
    for line in run(f"stat -L -c '%U %G %a %n' {paths} 2>/dev/null || true").splitlines():
        owner, group, mode, path = line.split(" ", 3)
        files[path] = FileFact(owner, group, int(mode, 8))
    return Facts(
        daemon=json.loads(run("cat /etc/docker/daemon.json")),
        info=json.loads(run("docker info --format '{{json .}}'")),
        argv=run("tr '\\0' '\\n' < /proc/$(cat /run/docker.pid)/cmdline").split(),
        bridge=json.loads(run("docker network inspect bridge"))[0],
        files=files,
        containers=containers,
    )
