"""Makes the host that the benchmark checks.

It is a fresh host of the lab, behind a relay with a delay of 50 ms.
"""

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

# This script runs on the host until its input ends. Then the script prints the largest memory (VmHWM) of an
# agent.
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
    """A lab host with two relays to it: `far` adds 50 ms, `near` adds nothing."""

    engine: Engine
    record: HostRecord
    far: Relay
    near: Relay

    @property
    def host_key(self) -> str:
        """The host's public key, in the form of known_hosts."""
        return keys.public_host_key(NAME)

    @property
    def identity_file(self) -> Path:
        """The private key for the login as root."""
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
        """Write an OpenSSH configuration for the other tools.

        The configuration reaches the host through the relay `far`.
        """
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
        """Watch the agents on the host during the `with` block.

        At the end of the block, append to `memory` the most memory that an agent used, in bytes.
        """
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
    """Create a fresh host, and remove it at the end, even if this process is killed."""
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
