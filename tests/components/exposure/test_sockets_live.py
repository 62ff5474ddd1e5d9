"""Reads real sockets from the kernel, in a network namespace of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# Runs in its own network namespace, where nothing else listens.
_PROGRAM = """
import json, socket, sys

sys.path.insert(0, sys.argv[1])
from portcullis.components.exposure.on_host import socket_owners, sockets
from portcullis.agent.machine import Machine

def listen(family, address, port, kind=socket.SOCK_STREAM, only6=False):
    made = socket.socket(family, kind)
    if only6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind((address, port))
    if kind == socket.SOCK_STREAM:
        made.listen()
    return made

V4, V6, UDP = socket.AF_INET, socket.AF_INET6, socket.SOCK_DGRAM
kept = [
    listen(V4, "0.0.0.0", 3306), listen(V4, "127.0.0.1", 4000), listen(V6, "::", 8443, only6=True),
    listen(V6, "::1", 4001), listen(V4, "0.0.0.0", 5000, UDP), listen(V4, "0.0.0.0", 0, UDP),
]
connected = listen(V4, "0.0.0.0", 5001, UDP)
connected.connect(("127.0.0.1", 5000))
asleep = listen(V4, "0.0.0.0", 5002, UDP)
asleep.close()
machine = Machine()
found = sockets.waiting(machine.proc)
held = socket_owners.holders(machine.proc, [one.inode for one in found])
any_port = sockets.ephemeral(machine.proc_sys)
print(json.dumps([
    ["ephemeral" if one.protocol == "udp" and one.port in any_port else one.key,
     socket_owners.text_of(held.get(one.inode, []), one.port, {}, {})[0]] for one in found
]))
"""


def test_sockets_beyond_loopback_and_the_processes_that_hold_them() -> None:
    if not Path("/proc/net/tcp6").exists():
        pytest.fail("the kernel of this machine has no IPv6, which these tests need")
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"',
         sys.executable, "-c", _PROGRAM, str(ROOT)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = dict(json.loads(done.stdout))
    assert set(found) == {"tcp4 0.0.0.0:3306", "tcp6 [::]:8443", "udp4 0.0.0.0:5000", "ephemeral"}
    assert all(owner.startswith('process "python') and "(root)" in owner for owner in found.values()), found
