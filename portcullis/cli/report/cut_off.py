"""Containers and networks that a deployment made before it was cut off, so that its state does not know them.

Docker's provider makes them again, and their names are taken. Whatever has this stack's label and is not in
its state is such a thing: the next deployment makes it anew. Volumes are no trouble, and hold data.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portcullis.cli import command
from portcullis.cli.heard import TooMuch, heard
from portcullis.components.containers.facts import OWNER_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TAKEN = re.compile(r"is already in use by container|network with name \S+ already exists")
_KINDS = {"docker:index/container:Container": "container", "docker:index/network:Network": "network"}
_ID = re.compile(r"[0-9a-f]{64}")
_TIMEOUT = 60.0  # seconds
# Containers first: they are in the networks.
_LIST = """\
for kind in container network; do
  docker $kind ls --quiet --no-trunc --filter label={label} $([ $kind = network ] || echo --all) |
    while read -r id; do
      echo $kind $id $(docker $kind inspect --format '{{{{.Name}}}}' $id)
    done
done"""


def clear(stack: str, hosts: Sequence[str], errors: Iterable[str]) -> list[str]:
    """Remove what was left, where an `up` failed because of it; return what was, for people.

    Args:
        stack: the stack that was deployed just now.
        hosts: aliases of its hosts.
        errors: what the deployment said.
    """
    if not any(_TAKEN.search(error) for error in errors):
        return []
    try:
        state = json.loads(command.answer("stack", "export", "--stack", stack))["deployment"]["resources"]
    except (command.Failed, ValueError, KeyError):
        return []
    removed = []
    for host in hosts:
        for kind, id_, name in _labelled(stack, host, _owner(state)):
            if id_ not in _known(state) and _docker(stack, host, _removal(kind, id_)) is not None:
                removed.append(f"{host}: removed the {kind} {name}, which a deployment left that was cut off")
    return removed


def _owner(state: list[dict[str, Any]]) -> str:
    """The label of all that this stack makes, see `portcullis.components.containers`."""
    _, _, stack, _, project, *_ = str(state[0]["urn"]).split(":")
    return f"{OWNER_LABEL}={project}/{stack}"


def _known(state: list[dict[str, Any]]) -> set[str]:
    return {str(one.get("id")) for one in state if one["type"] in _KINDS}


def _removal(kind: str, id_: str) -> str:
    return f"docker {kind} rm {'--force ' if kind == 'container' else ''}{id_}"


def _labelled(stack: str, host: str, label: str) -> list[tuple[str, str, str]]:
    said = _docker(stack, host, _LIST.format(label=label)) or ""
    found = [line.split() for line in said.splitlines()]
    return [
        (kind, id_, name.removeprefix("/"))
        for kind, id_, name in (words for words in found if len(words) == 3)  # noqa: PLR2004 - as printed
        if kind in _KINDS.values() and _ID.fullmatch(id_) and name.isascii() and name.isprintable()
    ]


def _docker(stack: str, host: str, script: str) -> str | None:
    """What a script prints on the host as root; None where it fails."""
    config = Path(".portcullis") / stack.rpartition("/")[2] / "ssh_config"
    argv = ["ssh", "-F", str(config), "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-S", "none", host]
    try:
        done = heard([*argv, "sudo", "-n", "sh"], script, _TIMEOUT)
    except (OSError, TooMuch, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout
