"""`make record-state` deploys a stack to a lab host, and records its state in states/VERSION.

test_recorded_states.py compares later code with these states, and finds a change that would replace resources
of a deployed stack.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, cast

import yaml

from lab import keys, machine
from lab.processes import this_process
from lab.pytest_lab import Host
from lab.shell import Progress
from portcullis import __version__
from tests.e2e.project import CHECKOUT, STACK
from tests.e2e.stack.program import Program

STATES = Path(__file__).parent / "states"
SETTINGS = Path(__file__).parent / "Pulumi.recorded.yaml"
STATE_FILE, SETTINGS_FILE, BUNDLE = "state.json", "settings.yaml", "ca.pem"
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBZR3YwMARMndYt76G09uRhEf3IUq4cur64KMzXlUV5w"  # a made-up key
_PLANTED = "recorded-and-nobodys"
_TIME, _NEVER = "2026-01-01T00:00:00Z", "2126-01-01T00:00:00Z"


def program(folder: Path, host: Host, settings: str, bundle: str) -> Program:
    """Return the program of the recorded stack, with settings, an authority and the files of its site."""
    made = Program(folder, host, settings)
    (folder / BUNDLE).write_text(bundle)
    (folder / "site").mkdir()
    (folder / "site" / "index.html").write_text("<!doctype html><title>recorded</title>\n")
    return made


def recorded(folder: Path, release: str) -> Program:
    """Return the stack with the imported state of a release, and the lab's plugins. No host is needed."""
    nobody = SimpleNamespace(
        name="web1", address="203.0.113.10", ssh_port=22, host_key=_KEY, identity_file=folder / "no-key"
    )
    kept = STATES / release
    texts = [(kept / file).read_text() for file in (SETTINGS_FILE, BUNDLE)]
    made = program(folder, cast("Host", nobody), *texts)
    # Docker's official plugin connects to its engine even without a refresh, so use the lab's plugin.
    made.env["PATH"] = os.pathsep.join([str(CHECKOUT / "lab/plugins/bin"), made.env["PATH"]])
    made.run("stack", "import", "--file", str(kept / STATE_FILE))
    return made


def record(release: str = __version__) -> Path:
    """Deploy the stack, and write what its state is; return the folder."""
    lease = this_process()
    machine.join(lease, Progress())
    try:
        raised = machine.up(None, lease=lease, progress=Progress())
        with TemporaryDirectory() as scratch:
            bundle = keys.authority().certificate.read_text()
            host = Host(machine.find(raised.name)[0], raised)
            made = program(Path(scratch) / "program", host, SETTINGS.read_text(), bundle)
            made.encrypt("secrets.stripeKey", _PLANTED)
            made.encrypt("secrets.alicePassword", _PLANTED)
            made.up(timeout=800)
            made.up()  # as of a stack that was looked at again
            state = made.run("stack", "export").output
            made.set("hosts.web1", identityFile="~/.ssh/id_ed25519")
            settings = made.config()
            made.close()
    finally:
        machine.leave(lease)
    text = _line_by_line(_anywhere(json.loads(state)))
    for place in (scratch, str(CHECKOUT), f"{Path.home()}/."):
        if place in text:
            raise SystemExit(f"error: the state has a path of this machine: {place}")
    folder = STATES / release
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / STATE_FILE).write_text(text)
    (folder / SETTINGS_FILE).write_text(yaml.safe_dump(settings, sort_keys=False))
    (folder / BUNDLE).write_text(bundle)
    return folder


def _anywhere(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state without times and paths of this machine. In this state no certificate is ever due."""
    state["deployment"]["manifest"] |= {"time": _TIME}
    for resource in state["deployment"]["resources"]:
        for key in ("created", "modified", "sourcePosition", "stackTrace"):
            resource.pop(key, None)
        if "validityEndTime" in resource.get("outputs", {}):
            resource["outputs"]["validityEndTime"] = _NEVER
    return state


def _line_by_line(state: dict[str, Any]) -> str:
    """Return the state as JSON with a line for each resource."""
    resources = ",\n".join(json.dumps(one) for one in state["deployment"].pop("resources"))
    head = json.dumps(state)
    return f'{head[:-2]}, "resources": [\n{resources}\n]}}}}\n'


if __name__ == "__main__":
    sys.stdout.write(f"{record()}, of stack {STACK}\n")
