"""The entry point for the preview key's forced command: a read-only agent, or a view of Docker.

A program on the host (see components/previews/render.py) calls `main` as root. No argument comes from the
client.
"""

from __future__ import annotations

import importlib
import os
import pwd
import sys
from typing import TYPE_CHECKING

from portcullis.agent.machine import Machine
from portcullis.agent.main import Agent
from portcullis.agent.read_only import ReadOnly
from portcullis.agent.redaction import CONTAINER, SECRET
from portcullis.agent.store import Store
from portcullis.components.previews.on_host.docker_view import serve

if TYPE_CHECKING:
    from pathlib import Path

AGENT, DOCKER = "agent", "docker"


def main(what: str, stack: str, digest: str) -> None:
    """Answer the client until standard input ends.

    Args:
        what: `AGENT` or `DOCKER`.
        stack: the stack that the key may read, as PROJECT/STACK.
        digest: hash of this agent.
    """
    os.umask(0o077)
    machine = Machine()
    if what == DOCKER:
        shown = declared(machine, stack)
        drop_privileges(machine.docker)
        serve(sys.stdin.buffer, sys.stdout.buffer, machine.docker, shown)
        return
    print("have", flush=True)  # noqa: T201 - the word that the client waits for
    read_only = ReadOnly(machine, stack, digest)
    Agent(machine, sys.stdout.fileno(), read_only, bounded=True).serve([], sys.stdin.buffer)


def declared(machine: Machine, stack: str) -> set[str]:
    """Return the ids of the stack's containers that the host has recorded as free of secrets.

    A container without such a record may hold a secret. If the host has not recorded a container's id yet,
    the result has the container's name instead. An id is safer: after an interrupted deploy the name may
    belong to another container.
    """
    return {
        str(record.extra.get(CONTAINER) or record.spec["container"])
        for record in Store(machine.state).all()
        if record.kind == "containers.container_states"
        and record.stack == stack
        and record.extra.get(SECRET) is False
    }


def drop_privileges(docker: Path) -> None:
    """Continue as the account that called sudo, with the group of Docker's socket as the only group.

    The user nobody is not used, because services of the host and processes in containers may run as nobody.
    The kernel lets processes of one user read each other's memory. Without sudo, only root can have called
    this program. Then it continues as nobody.
    """
    # Load these modules now: otherwise Python would load them later, when the account cannot read their file.
    for name in ("encodings.idna", "email.parser", "http.client"):
        importlib.import_module(name)
    nobody = pwd.getpwnam("nobody")
    user = int(os.environ.get("SUDO_UID", "0")) or nobody.pw_uid
    try:
        group = os.stat(docker).st_gid  # noqa: PTH116
    except OSError:
        group = nobody.pw_gid  # Docker is not installed: the answer to each request says so
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
