"""Starts, finds and removes the hosts of the lab on this machine.

The network and its servers start before the first host, and end after the last host is removed.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lab import acme, base, engine, gateway, hosts, images, network, registry
from lab.errors import LabError
from lab.places import CHECKOUT, LIVE, cache
from lab.shell import Progress, run
from lab.state import Busy, HostRecord, State, load, locked

if TYPE_CHECKING:
    from lab.processes import Process

DEFAULT_HOST = "web1"
DEFAULT_SUITE = "trixie"


def up(
    name: str | None = DEFAULT_HOST,
    *,
    suite: str = DEFAULT_SUITE,
    lease: Process | None = None,
    progress: Progress | None = None,
) -> HostRecord:
    """Raise a host, or find it up, and wait until it is reachable. Without a name it is a new one, test-N.

    Raises:
        LabError: the name is none or belongs to another checkout, or something that it needs is missing.
    """
    progress = progress or Progress()
    if name is not None and not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name):
        raise LabError(
            f"{name!r} is not a valid host name",
            "use small letters, digits and hyphens, and begin with a letter",
        )
    with locked() as state:
        docker = _infrastructure(state, progress)
        if name is None:
            name = new_name(state, "test")
        record = state.hosts.get(name)
        if record is not None:
            _refuse_stranger(record)
            if record.suite != suite:
                raise LabError(
                    f"host {name} already runs, with Debian {record.suite}", f"run `lab.py down {name}` first"
                )
            facts = docker.inspect(record.container)
            if facts is None:
                del state.hosts[name]
                record = None
            elif not facts["State"]["Running"]:
                progress.say(f"starting {name} again")
                hosts.boot(docker, record)
        if record is None:
            image = base.ensure(docker, suite, progress)
            progress.say(f"creating {name}")
            record = hosts.create(state, docker, image, name=name, suite=suite, lease=lease)
    hosts.wait(docker, record)
    return record


def prepare() -> None:
    """Build the bases that are not in the cache, so that no host waits for Debian's mirror.

    Raises:
        LabError: Debian's mirror cannot be reached, or something else that the lab needs is missing.
    """
    progress = Progress()
    with locked() as state:
        if not base.missing(progress):
            return
        try:
            docker = _infrastructure(state, progress)
            for suite in base.SUITES:
                base.ensure(docker, suite, progress)
        finally:
            _last_one_out(state)


def new_name(state: State, prefix: str) -> str:
    """Return a host name that nobody got before while the lab is up.

    Logs and caches have the name of their host.
    """
    while True:
        state.named += 1
        if (name := f"{prefix}-{state.named}") not in state.hosts:
            return name


def join(lease: Process, progress: Progress | None = None) -> None:
    """Start the network and its servers.

    The network stays until ``leave(lease)``, or until the process ``lease`` ends.
    """
    with locked() as state:
        _infrastructure(state, progress or Progress())
        if lease not in state.leases:
            state.leases.append(lease)


def leave(lease: Process) -> None:
    """End the lease, and remove the hosts of the lease.

    If no lease and no host is left, stop the network and the servers.
    """
    with locked() as state:
        state.leases = [other for other in state.leases if other != lease]
        _reap(state)
        _last_one_out(state)


def down(
    names: list[str] | None, progress: Progress | None = None, *, lease: Process | None = None
) -> list[str]:
    """Remove the hosts with these names, or all hosts of this checkout if `names` is None.

    Return the names of the removed hosts. With a lease, remove only hosts of that lease, because another
    process may by now have created a host with the same name.

    Raises:
        LabError: a name belongs to another checkout.
    """
    progress = progress or Progress()
    with locked() as state:
        _reap(state)
        if names is None:
            names = [name for name, record in state.hosts.items() if _ours(record)]
        gone = [name for name in names if name in state.hosts and lease in (None, state.hosts[name].lease)]
        for name in gone:
            _refuse_stranger(state.hosts[name])
            progress.say(f"removing {name}")
            _remove(state, name)
        _last_one_out(state)
    return gone


def reap() -> None:
    """Remove the remains of killed runs, and the hosts of checkouts that no longer exist.

    Every command calls this function first. If another command is changing the lab, that command has called
    this function already, so nothing is done.
    """
    if os.geteuid() != 0:
        return
    state = load()
    nobody = not state.hosts and not state.leases
    leases_end = not all(lease.alive() for lease in state.leases)
    if leases_end or _orphans(state) or (nobody and (network.leftovers() or not state.empty())):
        with contextlib.suppress(Busy), locked(timeout=0) as state:
            _reap(state)
            _last_one_out(state)


def find(name: str) -> tuple[engine.Engine, HostRecord]:
    """Return a host that is up.

    Raises:
        LabError: no host of that name is up.
    """
    state = load()
    if name not in state.hosts:
        others = f" (the lab has {', '.join(state.hosts)})" if state.hosts else ""
        raise LabError(f"no host {name} is up{others}", f"run `lab.py up {name}`")
    return engine.current(state), state.hosts[name]


def leftovers() -> list[str]:
    """Return the names of everything of the lab that is on this machine now, except the cache."""
    state = load()
    found = network.leftovers()
    found += [f"control group {path}" for path in engine.control_groups()]
    for name, process in (
        ("dockerd", state.docker),
        ("gateway", state.gateway),
        ("registry", state.registry),
        ("private-registry", state.private_registry),
    ):
        if process and process.alive():
            found.append(f"process {process.pid} ({name})")
    for name, processes in state.acme.items():
        found += [f"process {process.pid} ({name})" for process in processes if process.alive()]
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(LIVE) in words:
            found.append(f"process {command.parent.name}: {words[:100]}")
    docker = engine.current(state)
    if docker.answers():
        found += [f"container {container[:12]}" for container in docker.labelled()]
    found += [f"mount {point}" for point in engine.mounts()]
    if LIVE.exists():
        found.append(f"folder {LIVE}")
    return found


def _infrastructure(state: State, progress: Progress) -> engine.Engine:
    _reap(state)
    if not state.hosts and not state.leases and state.cache != str(cache()):
        _last_one_out(state)  # a killed run with another cache may have left something
    if state.cache not in ("", str(cache())):
        raise LabError(
            f"the running lab uses another cache folder, {state.cache}",
            f"run `PORTCULLIS_CACHE={Path(state.cache).parent} lab.py down --all`, or set PORTCULLIS_CACHE "
            "to this folder",
        )
    state.cache = str(cache())
    rebuilt = False
    if not network.exists():
        progress.say("building the network")
        for stale in (state.gateway, state.registry, state.private_registry):
            if stale:
                stale.stop()
        acme.stop(state)
        network.build()
        network.let_bridges_filter(progress)
        rebuilt = True
    gateway.ensure(state)
    docker = engine.ensure(state, progress)
    registry.ensure(state, progress)
    for record in state.hosts.values() if rebuilt else ():
        facts = docker.inspect(record.container)
        if facts and facts["State"]["Running"]:
            network.attach(facts["State"]["Pid"], record.number)
    for version in ("1", "2"):
        images.push(images.hello(version))
    return docker


def _reap(state: State) -> None:
    """Remove the leases of processes that have ended, and hosts without an owner."""
    state.leases = [lease for lease in state.leases if lease.alive()]
    for name in _orphans(state):
        _remove(state, name)


def _orphans(state: State) -> list[str]:
    """Return the names of abandoned hosts: their session has ended, or their checkout is gone."""
    return [
        name
        for name, record in state.hosts.items()
        if not Path(record.owner).exists()
        or (record.lease is not None and (record.lease not in state.leases or not record.lease.alive()))
    ]


def _remove(state: State, name: str) -> None:
    # If the engine has ended, start it again to remove its containers.
    acme.stop(state, name)
    hosts.remove(state, engine.ensure(state, Progress()), name)


def _last_one_out(state: State) -> None:
    if state.hosts or state.leases:
        return
    docker = engine.current(state)
    if docker.answers():
        for container in docker.labelled():  # a killed run may not have recorded its host
            docker.remove(container)
        if not state.docker:  # We leave a person's own engine unchanged. Ours keeps its images in the cache.
            docker.remove_images(f"{base.REPOSITORY}/*")
    acme.stop(state)
    registry.stop(state)
    gateway.stop(state)
    engine.stop(state)
    network.destroy()
    state.cache = ""


def _ours(record: HostRecord) -> bool:
    return record.owner == str(CHECKOUT)


def _refuse_stranger(record: HostRecord) -> None:
    if not _ours(record):
        raise LabError(
            f"host {record.name} belongs to the checkout {record.owner}, not to this one",
            f"use another name, or run `make down` in {record.owner}",
        )


def ssh_argv(record: HostRecord, known_hosts: Path, key: Path) -> list[str]:
    """Return an ssh command that logs in as root and accepts only the host's pinned key."""
    options = {
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "IdentityFile": str(key),
        "IdentitiesOnly": "yes",
        "LogLevel": "ERROR",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", "-F", "/dev/null", *words, f"root@{network.on_segment(record.number).v4}"]


def namespace(place: str) -> str:
    """Return the network namespace of a place on the lab's network.

    Raises:
        LabError: the lab has no such place.
    """
    places = {"neighbour": network.NEIGHBOUR, "internet": network.INTERNET}
    if place not in places:
        raise LabError(f"the lab's network has no place {place!r}", f"choose one of {', '.join(places)}")
    return places[place]


def fetch(place: str, argv: list[str], timeout: float = 120) -> tuple[int, str]:
    """Run curl in a namespace ("neighbour" or "internet"). Return curl's exit status and output."""
    enter = ["ip", "netns", "exec", namespace(place)]
    done = run([*enter, "curl", "-sS", "--max-time", "60", *argv], timeout=timeout, check=False)
    return done.returncode, done.stdout or done.stderr
