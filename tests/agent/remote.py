"""A client for the agent on a real host. The client uses the real bootstrap and the host's own sshd."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from lab import keys, machine
from portcullis.host.bootstrap import agent_command
from portcullis.host.bundle import agent_bundle
from tests.on_host import STACK, URN, WHO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.pytest_lab import Host

ANSWER_TIMEOUT = 150.0  # seconds

# Starts the agent from the host's cache, with changed limits.
QUICK = """
import sys
sys.path.insert(0, "/var/lib/portcullis/agent/{digest}.pyz")
from portcullis.agent import machine, main
main.Machine = lambda peer: machine.Machine({limits})
print("have", flush=True)
main.main([])
"""


class RemoteAgent:
    """One ssh process and the agent at its end."""

    def __init__(self, host: Host, *, who: str = WHO, stack: str = STACK, limits: str = "") -> None:
        self.host, self.who, self.stack, self.number = host, who, stack, 0
        bundle = agent_bundle()
        command: Sequence[str] = [agent_command(bundle.digest)]
        if limits:
            script = QUICK.format(digest=bundle.digest, limits=limits)
            command = ["python3", "-I", "-c", f"'{script}'"]
        argv = machine.ssh_argv(host.record, keys.known_hosts(host.name, host.address), keys.client_key())
        self.ssh = subprocess.Popen([*argv, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.ssh.stdin is not None
        assert self.ssh.stdout is not None
        self.stdin, self.stdout = self.ssh.stdin, self.ssh.stdout
        word = self.stdout.readline().strip()
        if word == b"need":
            self.stdin.write(f"agent {len(bundle.data)}\n".encode() + bundle.data)
            self.stdin.flush()
        else:
            assert word == b"have"

    def send(self, op: str, **arguments: Any) -> int:
        self.number += 1
        message = {"id": self.number, "op": op, "stack": self.stack, "who": self.who, **arguments}
        self.stdin.write(json.dumps(message).encode() + b"\n")
        self.stdin.flush()
        return self.number

    def read(self) -> dict[str, Any]:
        guard = threading.Timer(ANSWER_TIMEOUT, self.ssh.kill)
        guard.start()
        try:
            answer: dict[str, Any] = json.loads(self.stdout.readline())
        finally:
            guard.cancel()
        return answer

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        self.send(op, **arguments)
        answer = self.read()
        assert answer["ok"], answer
        result: dict[str, Any] = answer["result"]
        return result

    def on(self, op: str, kind: str, item: str, desired: dict[str, Any], **more: Any) -> dict[str, Any]:
        return self.ask(op, kind=kind, item=item, desired=desired, **{"owner": URN, "adopt": False, **more})

    def refused(self, kind: str, item: str, desired: dict[str, Any], **more: Any) -> dict[str, Any]:
        self.send("put", kind=kind, item=item, desired=desired, **{"owner": URN, "adopt": False, **more})
        answer = self.read()
        assert not answer["ok"], answer
        error: dict[str, Any] = answer["error"]
        return error

    def packages(self, *names: str, op: str = "put", on_delete: str = "remove") -> dict[str, Any]:
        packages = dict.fromkeys(names, "installed")
        desired = {"managed_by": URN, "packages": packages, "on_delete": on_delete}
        return self.on(op, "packages", URN, desired)

    def file(self, path: str, content: str = "", *, op: str = "put", **more: Any) -> dict[str, Any]:
        adopt = more.pop("adopt", False)
        return self.on(op, "file", path, wanted_file(path, content, **more), adopt=adopt)

    def service(self, unit: str, *reads: str, op: str = "put", **more: Any) -> dict[str, Any]:
        adopt = more.pop("adopt", False)
        return self.on(op, "service", unit, wanted_service(unit, *reads, **more), adopt=adopt)

    def facts(self, kind: str, item: str, **spec: Any) -> dict[str, Any]:
        (found,) = self.ask("survey", items=[{"kind": kind, "id": item, "spec": spec}], index=False)["items"]
        facts: dict[str, Any] = found["facts"]
        return facts

    def is_stale(self, unit: str, *reads: str) -> bool:
        return bool(self.facts("service", unit, unit=unit, reads=list(reads))["stale"])

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        try:
            self.ssh.wait(30)
        except subprocess.TimeoutExpired:
            self.ssh.kill()
            self.ssh.wait()
        self.stdout.close()


def wanted_file(path: str, content: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "content": content, "owner": "root", "group": "root", "mode": "0644",
            "on_delete": "restore", **more}  # fmt: skip


def wanted_service(unit: str, *reads: str, **more: Any) -> dict[str, Any]:
    return {"unit": unit, "active": "active", "enabled": "enabled", "on_change": "reload",
            "reads": dict.fromkeys(reads, "1"), **more}  # fmt: skip
