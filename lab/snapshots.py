"""Snapshots: a copy of a deployed host takes seconds, but a deploy to a bare host takes more than a minute.

A snapshot is the disk of a host that was shut down. A copy has the snapshot's disk, host keys, machine id and
host name, but other addresses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import engine, hosts, keys, machine, network
from lab.errors import LabError
from lab.shell import Progress, run
from lab.state import locked

if TYPE_CHECKING:
    from lab.processes import Process
    from lab.state import HostRecord

_BASELINE = "/var/lib/portcullis/inventory/baseline.json"


def keep(name: str) -> None:
    """Shut a host down and keep its disk as a snapshot of the same name, until the lab removes the host."""
    docker, record = machine.find(name)
    docker.stop(record.container)
    docker.commit(record.container, engine.SNAPSHOTS, name)


def copy(snapshot: str, *, lease: Process, progress: Progress | None = None) -> HostRecord:
    """Raise a new host, copy-N, as a copy of a snapshot, and wait until it is reachable.

    Raises:
        LabError: there is no such snapshot.
    """
    progress = progress or Progress()
    with locked() as state:
        docker, original = engine.current(state), state.hosts.get(snapshot)
        image = f"{engine.SNAPSHOTS}:{snapshot}"
        if original is None or not docker.has_image(image):
            raise LabError(f"the lab has no snapshot {snapshot}", "keep one first")
        name = machine.new_name(state, "copy")
        progress.say(f"creating {name} from {snapshot}")
        keys.copy_host_keys(snapshot, name)
        record = hosts.register(
            state, docker, image, name=name, suite=original.suite, lease=lease, called=snapshot
        )
    # Without the lock, because the disk of a Docker with images is large.
    for path, folder in hosts.volumes(docker, record).items():
        run(["cp", "-a", f"{hosts.volumes(docker, original)[path]}/.", str(folder)], timeout=600)
    hosts.boot(docker, record)
    hosts.wait(docker, record)
    # The addresses are in the record of what came with the machine; others would be drift.
    old, new = (network.on_segment(one.number) for one in (original, record))
    swap = f"s|{old.v4}/|{new.v4}/|g; s|{old.v6}/|{new.v6}/|g"
    hosts.console(docker, record, ["sed", "-i", swap, _BASELINE])
    return record
