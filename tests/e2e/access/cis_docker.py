"""Checks a running host by the CIS Docker Benchmark, v1.6.0.

This package has the items that a program can check: it reads the daemon, its files and its containers. The
numbers of the items are those of github.com/docker/docker-bench-security. A person has to check the others:
2.1 and 2.17, chapter 4 from 4.2 on, and 5.3, 5.7, 5.9, 5.19, 5.23, 5.24 and 5.28. The host does not have
what the rest is about: a TLS socket and a private registry (3.7 to 3.14), files of Red Hat (3.21, 3.22) and
Swarm (7). Chapter 6 of the benchmark is about habits of people.

`WAIVED` has a reason for each item that Portcullis decides otherwise. The waived items are checked too: a
waiver without a finding is a fault.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.e2e.access import cis_containers, cis_daemon
from tests.e2e.access.cis import ITEMS, Facts, FileFact, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# The import of these modules registers their items.
PARTS = (cis_daemon, cis_containers)

WAIVED = {
    "2.8": "each app sets its own ulimits; every container has limits of memory, CPU and log",
    "2.9": "user namespaces change the owner of every volume of the engine. Containers do not run as root. "
    "They have no capabilities and cannot gain privileges",
    "2.12": "only users with root's rights can reach the socket",
    "2.13": "logs stay on the host and have a limit; people choose their own log server",
    "2.16": "without the proxy Docker sets route_localnet, and containers reach the host's 127.0.0.1",
    "5.15": "on-failure does not start containers after a reboot; health checks show a crash loop",
}
"""Items that we decide otherwise, and why; docs/hardening/docker.md says more."""


def audit(facts: Facts) -> list[Finding]:
    """Return all findings, also those of waived items."""
    return [Finding(one.number, one.title, fault) for one in ITEMS.values() for fault in one.faults(facts)]


def unexplained(findings: Sequence[Finding]) -> list[str]:
    """Return the findings without a waiver, and the waivers without a finding."""
    found = {finding.item for finding in findings}
    idle = [f"{number} is waived, but has no finding" for number in WAIVED if number not in found]
    return [str(finding) for finding in findings if finding.item not in WAIVED] + idle


def collect(run: Callable[[str], str]) -> Facts:
    """Read the facts from a host. `run` runs a shell command on the host and returns its output."""
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
