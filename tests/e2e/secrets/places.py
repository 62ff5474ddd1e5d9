"""Searches the places that could have a secret: a host's files, journal and Docker, and this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lab import hosts

if TYPE_CHECKING:
    from lab.pytest_lab import Host
    from tests.e2e.secrets.search import Search

_OF_THE_KERNEL = ("proc", "sys", "dev/pts", "dev/mqueue")
ALL_BUT_ETC = (*_OF_THE_KERNEL, "usr", "home", "root", "srv", "opt", "boot", "var/lib/docker")
# The folders of a container that it can write. The search of the host covers the mounts of the container.
_OF_A_CONTAINER = ("tmp", "dev/shm", "run", "var")
_DOCKER = {
    "containers": "docker inspect $(docker ps -aq)",
    "images": "docker inspect $(docker image ls -aq)",
    "networks": "docker network inspect $(docker network ls -q)",
    "volumes": "docker volume inspect $(docker volume ls -q)",
    "history": "for each in $(docker image ls -aq); do docker history --no-trunc $each; done",
    "logs": "for each in $(docker ps -aq); do docker logs $each; done",
    "info": "docker info; docker system df -v; docker ps -a --no-trunc",
    "events": "docker events --since 3h --until 0s",
    "processes": "for each in $(docker ps -q); do docker top $each; done",
}


def of_host(search: Search, host: Host, since: Path) -> None:
    """Look through all that was written on a host after a file of the machine was."""
    first = hosts.first_process(host.engine, host.record)
    search.tree("host file", Path(f"/proc/{first}/root"), since=since, skip=_OF_THE_KERNEL)
    # In the journal's own files what is long is compressed.
    journal = host.run("journalctl --sync; journalctl -q --no-pager -o export").stdout
    search.text("journal", "all of it", journal)
    dumped = host.run("coredumpctl --no-pager --quiet info", check=False)
    search.text("journal", "coredumpctl", dumped.stdout)
    if host.run("command -v docker", check=False).returncode == 0:
        of_docker(search, host)


def of_docker(search: Search, host: Host) -> None:
    """Look through what Docker says, and through what its containers have written."""
    for what, script in _DOCKER.items():
        search.text("docker", what, host.run(f"{{ {script}; }} 2>&1; true").stdout)
    names = host.run("docker ps --format '{{.Names}}'", check=False).stdout.split()
    first = hosts.first_process(host.engine, host.record)
    for name in names:
        pid = host.run(["docker", "inspect", "-f", "{{.State.Pid}}", name]).stdout.strip()
        for folder in _OF_A_CONTAINER:
            # /proc of the host's own namespace, from outside.
            inside = Path(f"/proc/{first}/root/proc/{pid}/root/{folder}")
            if inside.is_dir():
                search.tree("container file", inside, skip=("secrets",) if folder == "run" else ())


def of_deployer(search: Search, since: Path, *folders: Path) -> None:
    """Search these folders, and the other files on the deploying machine that were written after `since`."""
    for folder in folders:
        search.tree("deployer file", folder)
    runtime = os.environ.get("XDG_RUNTIME_DIR", "/run/user/0")
    for place, skip in (
        (Path("/tmp"), ("pytest-of-root", "bash_jobs.0")),  # noqa: S108 - programs leave files there
        (Path("/var/tmp"), ()),  # noqa: S108
        (Path("/dev/shm"), ()),  # noqa: S108
        (Path("/var/log"), ()),
        (Path(runtime), ()),
        (Path.home(), (".cache",)),
    ):
        if place.is_dir():
            search.tree("deployer file", place, since=since, skip=skip)
