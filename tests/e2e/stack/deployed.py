"""Hosts to which the program is deployed, as snapshots: with the usual settings, or with the demo's shop."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lab import machine, stack
from lab.pytest_lab import Host
from lab.snapshots import Snapshot
from tests.e2e.host.watch import wait_for
from tests.e2e.stack.program import HELLO, Program
from tools import plugins

if TYPE_CHECKING:
    from lab.processes import Process
    from lab.state import HostRecord

PARTS = (
    "__main__.py",
    "Pulumi.yaml",
    "components",
    "plugin",
    "policy",
    "portcullis",
    "requirements.txt",
    "requirements-dev.txt",
    "examples/app",
    "tests/e2e/project.py",
    "tests/e2e/stack/deployed.py",
    "tests/e2e/stack/program.py",
    "tests/e2e/stack/Pulumi.hello.yaml",
)
_SPA = "      spa: true\n"
# Each host has its own ACME root, so the shop of the snapshot has a certificate of the stack's own authority.
_SETTINGS = {
    "hello": HELLO.read_text(),
    "shop": stack.TEMPLATE.read_text().replace(_SPA, f"{_SPA}      tls: internal\n"),
}


def copy(kind: str, folder: Path, *, lease: Process) -> Program:
    """Return a program in `folder`, which is deployed to a copied host. Its containers are healthy.

    `kind` is "hello" or "shop".
    """
    deployed = folder.with_name(f"{folder.name}-of-the-snapshot")
    home = Path(os.environ.get("PULUMI_HOME", Path.home() / ".pulumi"))
    facts = f"{shutil.which('pulumi')} {plugins.origins(home, os.environ['PATH'])}"
    snapshot = Snapshot(f"deployed-{kind}", PARTS, partial(_deploy, _SETTINGS[kind]), facts)
    record = snapshot.copy(lease=lease, folder=deployed)
    try:
        engine, _ = machine.find(record.name)
        made = Program.copied(folder, Host(engine, record), deployed, _SETTINGS[kind])
        every, healthy = "docker ps -aq", "docker ps -q --filter health=healthy"
        wait_for("its containers", lambda: made.host.run(every).stdout == made.host.run(healthy).stdout != "")
    except BaseException:
        machine.down([record.name], lease=lease)
        raise
    return made


def _deploy(settings: str, record: HostRecord, folder: Path) -> None:
    """Deploy to a bare host. Write the program's state and settings to `folder`."""
    engine, _ = machine.find(record.name)
    with TemporaryDirectory() as scratch:
        made = Program(Path(scratch) / "program", Host(engine, record), settings)
        try:
            made.up()
            made.preview("--expect-no-changes")
        finally:
            made.close()
        shutil.copytree(made.folder / "state", folder / "state")
        shutil.copyfile(made.settings, folder / made.settings.name)
