"""Where the preview key's forced command ends up: an agent that only looks, or a view of Docker.

The program that runs this is the host's own (see components/previews/render.py), as root. It gives it nothing
that the client chose.
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
    """Answer until standard input ends.

    Args:
        what: `AGENT` or `DOCKER`.
        stack: the stack that is shown, as PROJECT/STACK.
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
    """Ids of the stack's containers in which nothing is marked secret; names where no id was noted yet.

    One of which nothing was noted may hold a secret. Under the name of one that was, a deployment that was
    cut off may have left another.
    """
    return {
        str(record.extra.get(CONTAINER) or record.spec["container"])
        for record in Store(machine.state).all()
        if record.kind == "containers.container_states"
        and record.stack == stack
        and record.extra.get(SECRET) is False
    }


def drop_privileges(docker: Path) -> None:
    """Go on as nobody, in the one group that Docker's socket is for."""
    # No module can be read from the agent's file afterwards; these are loaded when they are first needed.
    for name in ("encodings.idna", "email.parser", "http.client"):
        importlib.import_module(name)
    nobody = pwd.getpwnam("nobody")
    try:
        group = os.stat(docker).st_gid  # noqa: PTH116
    except OSError:
        group = nobody.pw_gid  # there is no Docker, and each request is told so
    os.setgroups([])
    os.setgid(group)
    os.setuid(nobody.pw_uid)
