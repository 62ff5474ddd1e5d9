"""The host that is checked: fresh from the lab, behind a relay that makes it 50 ms away."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.measure import RTT, BenchmarkError
from lab import hosts, keys, machine, network
from lab.processes import this_process
from lab.relay import Relay
from portcullis.host.bundle import agent_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.engine import Engine
    from lab.state import HostRecord

NAME = "bench1"

# Runs on the host until its input ends, then prints the most memory (VmHWM) that one of the agents had.
_WATCH = """\
import json, os, select, sys
most = 0
while True:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\\0")
            if words[0] != b"python3" or DIGEST not in words:
                continue
            lines = open(f"/proc/{pid}/status").read().splitlines()
        except OSError:
            continue
        most = max([most, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])
    if select.select([sys.stdin], [], [], 0.03)[0]:
        break
print(most)
"""
_KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Target:
    """A lab host and the two ways to it: `far` is 50 ms away and counts, `near` is not."""

    engine: Engine
    record: HostRecord
    far: Relay
    near: Relay

    @property
    def host_key(self) -> str:
        """Its public host key, as known_hosts has it."""
        return keys.public_host_key(NAME)

    @property
    def identity_file(self) -> Path:
        """The private key that root logs in with."""
        return keys.client_key()

    def console(self, line: str) -> str:
        """Run a line of sh on the host, past its sshd.

        Raises:
            BenchmarkError: it failed.
        """
        done = hosts.console(self.engine, self.record, ["sh", "-c", line], timeout=300)
        if done.returncode:
            raise BenchmarkError(f"{NAME}: {line}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def write_ssh_config(self, folder: Path) -> Path:
        """Write an OpenSSH configuration with the host behind `far`, for the other tools."""
        known = folder / "known_hosts"
        known.write_text(f"{NAME} {self.host_key}\n")
        path = folder / "ssh_config"
        path.write_text(
            f"Host {NAME}\n    HostName {self.far.address[0]}\n    Port {self.far.address[1]}\n"
            f"    User root\n    HostKeyAlias {NAME}\n    UserKnownHostsFile {known}\n"
            f"    StrictHostKeyChecking yes\n    IdentityFile {self.identity_file}\n"
            "    IdentitiesOnly yes\n    BatchMode yes\n    LogLevel ERROR\n"
        )
        return path

    @contextlib.contextmanager
    def watched(self, memory: list[int]) -> Iterator[None]:
        """Watch the agents on the host for the block; append the most bytes that one of them had."""
        code = f"DIGEST = {agent_bundle().digest.encode()!r}\n{_WATCH}"
        argv = [*hosts.console_argv(self.engine, self.record), "python3", "-I", "-c", code]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watcher:
            try:
                yield
            finally:
                said, _ = watcher.communicate(timeout=30)
        memory.append(int(json.loads(said)) * _KIBIBYTE)

    def agents(self) -> int:
        """Return how many agents run on the host now."""
        found = self.console(f"pgrep -fc '^python3 .*{agent_bundle().digest}' || true")
        return int(found)


@contextlib.contextmanager
def target() -> Iterator[Target]:
    """Raise the host, fresh, and take it away again; it goes too when this process is killed."""
    machine.down([NAME])
    lease = this_process()
    machine.join(lease)
    try:
        machine.up(NAME, lease=lease)
        engine, record = machine.find(NAME)
        address = network.on_segment(record.number).v4, 22
        with Relay(address, rtt=RTT) as far, Relay(address) as near:
            print(f"bench: {NAME} is up, {RTT * 1000:.0f} ms away", file=sys.stderr, flush=True)
            yield Target(engine, record, far, near)
    finally:
        machine.leave(lease)
