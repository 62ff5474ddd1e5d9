"""Remove containers and networks that an interrupted deploy created but did not record in the state.

The next deploy creates these containers and networks again, and fails because their names are in use. If a
container or network has the stack's label but is not in the stack's state, an interrupted deploy left it. So
its removal is safe. Volumes cause no failure, so they are kept.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portcullis.cli import command
from portcullis.cli.bounded_output import OutputTooLong, run_bounded
from portcullis.components.containers.facts import OWNER_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TAKEN = re.compile(r"is already in use by container|network with name \S+ already exists")
_KINDS = {"docker:index/container:Container": "container", "docker:index/network:Network": "network"}
_ID = re.compile(r"[0-9a-f]{64}")
_TIMEOUT = 60.0  # seconds
# Containers come first, because they use the networks.
_LIST = """\
for kind in container network; do
  docker $kind ls --quiet --no-trunc --filter label={label} $([ $kind = network ] || echo --all) |
    while read -r id; do
      echo $kind $id $(docker $kind inspect --format '{{{{.Name}}}}' $id)
    done
done"""


def clear(stack: str, hosts: Sequence[str], errors: Iterable[str]) -> list[str]:
    """Remove the containers and networks that were left behind, if an `up` failed because of them.

    Args:
        stack: the stack of that `up`.
        hosts: aliases of its hosts.
        errors: the errors of that `up`.

    Returns:
        A line for people about each thing that was removed.
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
                removed.append(f"{host}: removed the {kind} {name}, which an interrupted deploy left behind")
    return removed


def _owner(state: list[dict[str, Any]]) -> str:
    """Return the label of the stack's containers and networks, see `portcullis.components.containers`."""
    _, _, stack, _, project, *_ = str(state[0]["urn"]).split(":")
    return f"{OWNER_LABEL}={project}/{stack}"


def _known(state: list[dict[str, Any]]) -> set[str]:
    return {str(one.get("id")) for one in state if one["type"] in _KINDS}


def _removal(kind: str, id_: str) -> str:
    return f"docker {kind} rm {'--force ' if kind == 'container' else ''}{id_}"


def _labelled(stack: str, host: str, label: str) -> list[tuple[str, str, str]]:
    listed = _docker(stack, host, _LIST.format(label=label)) or ""
    found = [line.split() for line in listed.splitlines()]
    return [
        (kind, id_, name.removeprefix("/"))
        for kind, id_, name in (words for words in found if len(words) == 3)  # noqa: PLR2004 - as printed
        if kind in _KINDS.values() and _ID.fullmatch(id_) and name.isascii() and name.isprintable()
    ]


def _docker(stack: str, host: str, script: str) -> str | None:
    """Run a script on the host as root. Return what it prints, or None if it fails."""
    config = Path(".portcullis") / stack.rpartition("/")[2] / "ssh_config"
    argv = ["ssh", "-F", str(config), "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-S", "none", host]
    try:
        done = run_bounded([*argv, "sudo", "-n", "sh"], script, _TIMEOUT)
    except (OSError, OutputTooLong, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout
