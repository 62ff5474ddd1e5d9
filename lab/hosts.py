"""One disposable host: a container that boots systemd and is connected to the lab's network."""

from __future__ import annotations

import io
import tarfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import docker29, keys, network
from lab.engine import LABEL
from lab.errors import LabError
from lab.places import CHECKOUT
from lab.processes import wait_until
from lab.shell import run
from lab.state import HostRecord, save

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from lab.engine import Engine
    from lab.processes import Process
    from lab.state import State

# The option --privileged requires every capability, and fails if the machine itself lacks one. systemd,
# Docker, nftables and fail2ban use these capabilities. SYS_TIME and SYS_MODULE are left out: the clock and
# the modules belong to the machine.
_CAPABILITIES = [
    *["SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_PTRACE", "SYS_NICE", "SYS_BOOT", "SYSLOG", "IPC_LOCK"],
    *["DAC_READ_SEARCH", "LINUX_IMMUTABLE", "LEASE", "AUDIT_CONTROL", "MAC_ADMIN"],
]
_CGROUPS = Path("/sys/fs/cgroup")
_CGROUP_V1_WORDS = ["systemd.unified_cgroup_hierarchy=0", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]
BOOT_SECONDS = 180
STAMPS = "/var/lib/systemd/timers"
"""The folder on a host in which systemd notes when each timer last ran."""

# A container that runs Docker itself needs an unmasked /proc. All files in /proc outside of the host's own
# network namespace belong to the machine. So this script makes those files read-only again, before anything
# else runs.
_FIRST_PROCESS = """\
#!/bin/sh
set -e
for path in /proc/sys/* /proc/sysrq-trigger /proc/irq /proc/bus; do
    [ -e "$path" ] && [ "$path" != /proc/sys/net ] || continue
    mount --bind "$path" "$path"
    mount -o remount,bind,ro "$path"
done
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || mount -o remount,bind,rw /sys/fs/cgroup
# The lab connects the network after the start. A real host has its interface when it boots, so wait for it.
until ip -4 route show default | grep -q default; do sleep 0.02; done
exec /sbin/init "$@"
"""


def create(
    state: State, engine: Engine, image: str, *, name: str, suite: str, lease: Process | None
) -> HostRecord:
    """Create and start a host, plugged in; it still boots when this returns.

    Raises:
        LabError: no address is free.
    """
    record = register(state, engine, image, name=name, suite=suite, lease=lease)
    engine.put(record.container, _identity(name))
    boot(engine, record)
    return record


def register(
    state: State,
    engine: Engine,
    image: str,
    *,
    name: str,
    suite: str,
    lease: Process | None,
    called: str = "",
) -> HostRecord:
    """Create a host that does not run yet, and record it in the state.

    The host name of the new host is `called`, or `name` if `called` is empty.

    Raises:
        LabError: no address is free.
    """
    taken = {record.number for record in state.hosts.values()}
    numbers = range(network.FIRST_HOST, network.LAST_HOST)
    begin = state.named % len(numbers)  # the addresses of a removed host come back as late as possible
    free = [number for number in (*numbers[begin:], *numbers[:begin]) if number not in taken]
    if not free:
        raise LabError("the lab has no free address for another host", "run `lab.py down --all`")
    # A container of that name that is not in the state was left when the machine went down.
    engine.remove(f"portcullis-lab-{name}")
    container = engine.create(f"portcullis-lab-{name}", _container(image, name, called or name))
    record = HostRecord(name, str(CHECKOUT), container, free[0], suite, lease)
    state.hosts[name] = record
    save(state)
    return record


def boot(engine: Engine, record: HostRecord) -> None:
    """Start the container and connect it to the network.

    The container's first process waits for the network.
    """
    engine.start(record.container)
    network.attach(first_process(engine, record), record.number)


def remove(state: State, engine: Engine, name: str) -> None:
    """Remove a host with its disk, and the control groups that its containers leave."""
    record = state.hosts[name]
    groups = _groups_of_containers(engine, record)
    engine.remove(record.container)
    for group in groups:
        with suppress(OSError):  # the host's Docker has removed it, or a process in it has not ended
            group.rmdir()
    network.detach(record.number)
    del state.hosts[name]


def volumes(engine: Engine, record: HostRecord) -> dict[str, Path]:
    """Return the folders on this machine with a host's volumes, by their paths on the host."""
    facts = engine.inspect(record.container) or {}
    mounts = [mount for mount in facts.get("Mounts", ()) if mount["Type"] == "volume"]
    return {mount["Destination"]: Path(mount["Source"]) for mount in mounts}


def _groups_of_containers(engine: Engine, record: HostRecord) -> list[Path]:
    """Return the control groups of the containers that run on a host.

    With cgroup v1, a host sees the machine's control groups, so its Docker makes them there. The groups would
    stay after the host.
    """
    folder = volumes(engine, record).get("/var/lib/docker")
    ids = [path.name for path in folder.glob("containers/*")] if folder else []
    return [group for one in ids for group in _CGROUPS.glob(f"*/docker/{one}")]


def first_process(engine: Engine, record: HostRecord) -> int:
    """Return the process id that the host's first process has on the machine.

    Raises:
        LabError: the host does not run.
    """
    facts = engine.inspect(record.container)
    if facts is None:
        raise LabError(
            f"the container of host {record.name} does not exist any more",
            f"run `lab.py down {record.name}`, then `lab.py up {record.name}`",
        )
    if not facts["State"]["Running"]:
        raise LabError(
            f"the container of host {record.name} does not run", f"run `lab.py reboot {record.name}`"
        )
    return int(facts["State"]["Pid"])


def wait(engine: Engine, record: HostRecord) -> str:
    """Wait until systemd has booted and sshd listens; return systemd's word for it, "running" or "degraded".

    Raises:
        LabError: not within three minutes.
    """
    word = ""

    def booted() -> bool:
        nonlocal word
        asked = console(engine, record, ["systemctl", "is-system-running", "--wait"], timeout=BOOT_SECONDS)
        word = asked.stdout.strip()
        return word in ("running", "degraded")

    def listens() -> bool:
        # Not by a connection: its port may have been moved, and a probe would stand in the host's log.
        return console(engine, record, ["systemctl", "is-active", "ssh.service"]).returncode == 0

    wait_until(f"systemd on {record.name}", booted, BOOT_SECONDS)
    wait_until(f"sshd on {record.name}", listens, 60)
    return word


def console(
    engine: Engine, record: HostRecord, argv: Sequence[str], *, text: str | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command in the host as root, with an empty environment, without the host's sshd and firewall."""
    return run([*console_argv(engine, record), *argv], text=text, timeout=timeout, check=False)


def console_argv(engine: Engine, record: HostRecord) -> list[str]:
    """Return the command that runs another command in the host."""
    pid = first_process(engine, record)
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    enter = ["nsenter", "--target", str(pid), "--all", "--root", "--wd"]
    return [*_fewer_capabilities(pid), *enter, "env", "-i", path, "HOME=/root", "LANG=C.UTF-8"]


def _fewer_capabilities(pid: int) -> list[str]:
    """Return the first words of a command, which drop the capabilities that the host lacks.

    A process that enters namespaces keeps its capabilities. If the process kept all capabilities of the
    machine, `date -s` in a host would set the machine's clock.
    """
    ours, theirs = (
        int(Path(f"/proc/{process}/status").read_text().partition("CapBnd:")[2].split()[0], 16)
        for process in ("self", pid)
    )
    excess = [f"-cap_{number}" for number in range(64) if (ours & ~theirs) >> number & 1]
    return ["setpriv", f"--bounding-set={','.join(excess)}"] if excess else []


def reboot(engine: Engine, record: HostRecord) -> float:
    """Shut the host down properly, start it again, and wait for it.

    Return the seconds from shutdown to start.
    """
    begun = time.monotonic()
    engine.stop(record.container)
    boot(engine, record)
    wait(engine, record)
    return time.monotonic() - begun


def _container(image: str, name: str, called: str) -> dict[str, Any]:
    unified = (_CGROUPS / "cgroup.controllers").exists()
    return {
        "Image": image,
        "Hostname": called,
        "Labels": {LABEL: name},
        "Entrypoint": ["/usr/sbin/lab-first-process"],
        "Cmd": [] if unified else _CGROUP_V1_WORDS,
        "Env": ["container=docker"],  # systemd's own word for where it runs
        "StopSignal": "SIGRTMIN+3",  # what systemd shuts down on
        # An overlay cannot stand on the container's own one. Docker 29 has its images in containerd's folder.
        "Volumes": {"/var/lib/docker": {}} | ({"/var/lib/containerd": {}} if docker29.asked_for() else {}),
        "HostConfig": {
            "NetworkMode": "none",
            "Dns": [network.GATEWAY_ADDRESS.v4],
            "ExtraHosts": [f"{called}:127.0.1.1"],  # as on any Debian; sudo complains without it
            "CapAdd": _CAPABILITIES,
            "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
            # "systempaths=unconfined" in the client's words.
            "MaskedPaths": [],
            "ReadonlyPaths": [],
            "Tmpfs": {"/run": "", "/run/lock": ""},
            # A hybrid or v1 machine has no usable private view: journald fails in it.
            "CgroupnsMode": "private" if unified else "host",
            "Binds": [] if unified else ["/sys/fs/cgroup:/sys/fs/cgroup:rw"],
        },
    }


def _identity(name: str) -> bytes:
    """Return a tar with what makes the host this one: its host keys, who may log in, its first process."""
    public = keys.client_key().with_suffix(".pub").read_bytes()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        _add(tar, "usr/sbin/lab-first-process", _FIRST_PROCESS.encode(), 0o755)
        _add(tar, "root/.ssh/authorized_keys", public, 0o600)
        for path in sorted(keys.host_keys(name).iterdir()):
            _add(tar, f"etc/ssh/{path.name}", path.read_bytes(), 0o644 if path.suffix == ".pub" else 0o600)
        _set_clock(tar)
    return out.getvalue()


def clock(stamps: Sequence[str]) -> bytes:
    """Return a tar that sets the zone of a copied host, and marks the timers with these stamps as just run.

    systemd runs a timer at once if the timer missed its time while the host was off.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        _set_clock(tar)
        for name in stamps:
            _add(tar, f"{STAMPS}/{name}".removeprefix("/"), b"", 0o644)
    return out.getvalue()


def _set_clock(tar: tarfile.TarFile) -> None:
    link = tarfile.TarInfo("etc/localtime")
    link.type, link.linkname = tarfile.SYMTYPE, f"/usr/share/zoneinfo/Etc/{zone(datetime.now(UTC).hour)}"
    tar.addfile(link)


def zone(hour: int) -> str:
    """Return the zone in which it is one in the afternoon when it is `hour` in UTC.

    A host's timers and its reboot after updates are at night. In the afternoon none of them disturbs a test.
    """
    east = 13 - hour
    return f"GMT{-east:+d}" if east else "GMT"


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.mtime = len(content), mode, int(time.time())
    tar.addfile(entry, io.BytesIO(content))


def summary(engine: Engine, record: HostRecord) -> str:
    """Return one line about the host, for people."""
    facts = engine.inspect(record.container)
    running = "running" if facts and facts["State"]["Running"] else "stopped"
    address = network.on_segment(record.number)
    return f"{record.name:12} {address.v4:15} {address.v6:20} {record.suite:9} {running} {record.owner}"
