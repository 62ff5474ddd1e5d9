"""Leaves a canary (a text in the place of a secret) in each kind of place, on a host and on this machine.

The search of the drill has to find all these canaries. If the search finds them all, it covers each kind of
place.
"""

from __future__ import annotations

import base64
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.secrets import canaries, places
from tests.e2e.secrets.recorders import Recorders
from tests.e2e.secrets.search import Search

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.pytest_lab import Host

_PORT = 28009
_SEND = (
    "import socket, sys; datagrams = socket.socket(type=socket.SOCK_DGRAM);"
    "datagrams.sendto(sys.stdin.read().encode(), ({!r}, 9))"
)
_TELL = (
    f"import socket, sys; socket.create_connection(('127.0.0.1', {_PORT})).sendall(sys.stdin.read().encode())"
)
_CORE = "cd /var/tmp; ulimit -c unlimited; SECRET=$(cat) sh -c 'kill -ABRT $$'; true"
_CORES = "/var/tmp/core"  # noqa: S108
FILES = {
    "a temporary file": "/tmp/left",  # noqa: S108 - the canary goes there
    "a shell's history": "/root/.bash_history",
    "a log": "/var/log/left.log",
    "a file of a memory file system": "/dev/shm/left",  # noqa: S108
    "a file of /run": "/run/left",
    "a backup": "/var/backups/left.gz",
    "a unit": "/etc/systemd/system/left.service",
}  # fmt: skip


def plant_and_look(host: Host, image: str, folder: Path) -> tuple[Search, dict[str, tuple[str, str]]]:
    """Leave a canary in every kind of place, and search for all canaries.

    Args:
        host: a host with Docker.
        image: an image on the host, with busybox.
        folder: a folder for the records.

    Returns:
        The search, and two values of the expected find for each kind of place: `place`, and the beginning of
        `where`.
    """
    since = folder / "since"
    since.touch()
    plants: dict[str, tuple[str, str]] = {}
    search = Search([])

    def plant(kind: str, place: str, where: str, do: Callable[[str], object]) -> None:
        canary = canaries.made(kind)
        search.canaries.append(canary)
        plants[kind] = (place, where)
        do(canary.text)

    def run(*argv: str) -> Callable[[str], object]:
        """Return a function that gives the canary to a program as input, so no command line has it."""
        return lambda text: host.run(list(argv), text=text)

    with Recorders(host, folder / "recorded", (_PORT,)) as recorded, tempfile.TemporaryDirectory() as left:
        for kind, path in FILES.items():
            plant(kind, "host file", path, run("sh", "-c", 'cat >>"$1"', "sh", path))
        encode = base64.b64encode
        plant(
            "base64",
            "host file",
            "/root/base64",
            lambda t: host.write("/root/base64", encode(t.encode()).decode()),
        )
        plant("a core dump", "host file", _CORES, run("sh", "-c", _CORE))
        plant("a line of the journal", "journal", "all of it", run("systemd-cat", "-t", "left"))
        plant(
            "a long line of the journal",
            "journal",
            "all of it",
            lambda t: run("systemd-cat", "-t", "left")("x" * 900 + t),
        )
        docker = ["docker", "run", "-d", "--name"]
        plant(
            "a variable of a container",
            "docker",
            "containers",
            lambda t: host.run([*docker, "left", "-e", f"SECRET={t}", image, "sleep", "600"]),
        )
        plant(
            "a label of a container",
            "docker",
            "containers",
            lambda t: host.run([*docker, "label", "--label", f"secret={t}", image, "sleep", "600"]),
        )
        plant(
            "the log of a container",
            "docker",
            "logs",
            run("sh", "-c", f"docker run -i --name log {image} /bin/busybox cat"),
        )
        plant(
            "a container's memory file system",
            "container file",
            "/",
            run(
                "sh",
                "-c",
                f"docker run -d --name memory --tmpfs /tmp {image} sleep 600 >/dev/null; "
                "docker exec -i memory /bin/busybox tee /tmp/left >/dev/null",
            ),
        )
        plant(
            "the history of an image",
            "docker",
            "history",
            lambda t: host.run(["docker", "commit", "--message", t, "left", "left:1"]),
        )
        plant(
            "a label of a network",
            "docker",
            "networks",
            lambda t: host.run(["docker", "network", "create", "--label", f"secret={t}", "left"]),
        )
        inspect = "{{.NetworkSettings.IPAddress}}"
        address = host.run(["docker", "inspect", "-f", inspect, "left"]).stdout.strip()
        plant("a packet on docker0", "packet", "docker0 ", run("python3", "-c", _SEND.format(address)))
        plant("a packet on lo", "packet", "lo ", run("python3", "-c", _SEND.format("127.0.0.1")))
        plant("what a local user hears", "heard", "by nobody", run("python3", "-c", _TELL))
        plant(
            "a command line on the host",
            "command line",
            "host ",
            lambda t: host.run(["sh", "-c", "sleep 3; true", t]),
        )
        plant("a variable on the host", "environment", "host ", run("sh", "-c", "SECRET=$(cat) sleep 3"))
        plant(
            "a command line here",
            "command line",
            "deployer ",
            lambda t: subprocess.run(["sh", "-c", "sleep 3; true", t], check=True),
        )
        plant(
            "a variable here",
            "environment",
            "deployer ",
            lambda t: subprocess.run(["sleep", "3"], env={"SECRET": t}, check=True),
        )
        plant(
            "a temporary file here",
            "deployer file",
            f"/{Path(left).name}/left",
            (Path(left) / "left").write_text,
        )
        plant("a state", "deployer file", "/state/", lambda t: _write(folder / "project/state/x.json", t))
        places.of_host(search, host, since)
        places.of_deployer(search, since, folder / "project")
    recorded.search(search)
    return search, plants


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(text)
