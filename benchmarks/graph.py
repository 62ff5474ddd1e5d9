"""Describes the packages, files and services of one host. Each tool of a benchmark checks this same list."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LINES = 20  # about a kilobyte, like a usual configuration file


@dataclass(frozen=True, slots=True)
class File:
    """A file that root owns, with its content."""

    path: str
    content: str
    mode: str = "0644"


@dataclass(frozen=True, slots=True)
class Service:
    """A systemd unit that runs and is enabled. If a file in `reads` changes, the unit must restart."""

    unit: str
    reads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """Everything that is declared for one host.

    `sites` is the number of sites of nginx. With `inventory`, the host reports undeclared things.
    """

    packages: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    services: tuple[Service, ...] = ()
    sites: int = 0
    inventory: bool = False

    @property
    def items(self) -> int:
        """The number of things that the tools check.

        The number of resources is smaller, because all packages are one resource.
        """
        return len(self.packages) + len(self.files) + len(self.services)

    def write(self, path: Path) -> Path:
        """Write the graph as JSON, in the form that every tool reads."""
        path.write_text(json.dumps(asdict(self)))
        return path


def _file(path: str) -> File:
    return File(path, "".join(f"# {path}, line {n:02}: as long as settings are\n" for n in range(_LINES)))


def files(count: int) -> Graph:
    """Return a graph of `count` files and nothing else."""
    return Graph(files=tuple(_file(f"/srv/bench-{n:03}.conf") for n in range(count)))


def sites(count: int) -> Graph:
    """Return a graph with nginx and this number of sites. Each site redirects its visitors."""
    return Graph(sites=count)


def host() -> Graph:
    """Return the graph of a small host: 7 packages, 11 files, 4 services."""
    nginx = [f"/etc/nginx/conf.d/bench-{n}.conf" for n in range(5)]
    rsyslog = [f"/etc/rsyslog.d/bench-{n}.conf" for n in range(3)]
    cron = [f"/etc/cron.d/bench-{n}" for n in range(2)]
    return Graph(
        packages=("cron", "curl", "jq", "logrotate", "nginx", "redis-server", "rsyslog"),
        files=tuple(_file(path) for path in [*nginx, *rsyslog, *cron, "/etc/bench.conf"]),
        services=(
            Service("nginx.service", tuple(nginx)),
            Service("rsyslog.service", tuple(rsyslog)),
            Service("cron.service", tuple(cron)),
            Service("redis-server.service"),
        ),
    )
