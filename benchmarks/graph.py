"""What is checked: one list of packages, files and services that every tool gets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LINES = 20  # about a kilobyte, as a fragment of configuration has


@dataclass(frozen=True, slots=True)
class File:
    """A file, root's, with its content."""

    path: str
    content: str
    mode: str = "0644"


@dataclass(frozen=True, slots=True)
class Service:
    """A unit that runs and is enabled; `reads` are paths of files that it must be restarted after."""

    unit: str
    reads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """Everything that is declared for one host.

    `sites` is how many nginx serves; `inventory` has the host tell of what nobody declared.
    """

    packages: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    services: tuple[Service, ...] = ()
    sites: int = 0
    inventory: bool = False

    @property
    def items(self) -> int:
        """How many things are checked. All tools take the packages as one list, so resources are fewer."""
        return len(self.packages) + len(self.files) + len(self.services)

    def write(self, path: Path) -> Path:
        """Write it as JSON, in the form that every tool reads."""
        path.write_text(json.dumps(asdict(self)))
        return path


def _file(path: str) -> File:
    return File(path, "".join(f"# {path}, line {n:02}: as long as settings are\n" for n in range(_LINES)))


def files(count: int) -> Graph:
    """Return `count` files and nothing else."""
    return Graph(files=tuple(_file(f"/srv/bench-{n:03}.conf") for n in range(count)))


def sites(count: int) -> Graph:
    """Return a proxy with so many sites, each of which sends its visitors elsewhere."""
    return Graph(sites=count)


def host() -> Graph:
    """Return a small host: 7 packages, 11 files, 4 services."""
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
