"""Records the baseline of a machine: the list of what it had before the agent's first change.

A separate process writes the baseline with the code of the kind `inventory`. So the agent itself need not
load this code.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk
from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from portcullis.agent.machine import Machine

KIND = "inventory"
_LONGEST = 1000.0  # seconds
_CAUSE_PRINTED = 3  # the exit code of a process that printed the cause on standard output
_HEAD = 300  # bytes at the start of the baseline with the machine's id
_MACHINE = re.compile(rb'"machine": "([^"]*)"')
_RECORD = """\
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from portcullis.agent.errors import AgentError
from portcullis.agent.kinds import Kinds
from portcullis.agent.machine import Machine
from portcullis.agent.store import Store
os.umask(0o077)
machine = Machine(**{name: Path(path) for name, path in json.loads(sys.argv[2]).items()})
try:
    Kinds(machine, Store(machine.state))[sys.argv[3]].before_first_change()
except AgentError as error:
    print(json.dumps(error.as_json()))
    sys.exit(3)
"""


def path(machine: Machine) -> Path:
    """Return the path of the baseline, the file that lists what the machine had before our first change."""
    return machine.state / KIND / "baseline.json"


def machine_id(machine: Machine) -> str:
    """Return the content of machine-id(5), or "" if the machine has no id yet."""
    with contextlib.suppress(OSError):
        return (machine.root / "etc/machine-id").read_text("utf-8", "replace").strip()
    return ""


def make_folder(machine: Machine) -> None:
    """Make the folder of the baseline, which only root can enter. Raises `AgentError`."""
    try:
        for folder in (machine.state, path(machine).parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise disk.write_error(error, path(machine)) from None


def record(machine: Machine) -> None:
    """Write the baseline of the machine, unless it exists already. Raises `AgentError`."""
    if _is_recorded(machine):
        return
    places = {each.name: getattr(machine, each.name) for each in fields(machine)}
    known = {name: str(place) for name, place in places.items() if isinstance(place, Path)}
    argv = [sys.executable or "/usr/bin/python3", "-I", "-c", _RECORD]
    code = Path(__file__).parents[2]
    if not code.exists():
        return  # this session removed the last resource, and the agent with it; the next session records
    done = machine.run([*argv, str(code), json.dumps(known), KIND], timeout=_LONGEST)
    if done.code == _CAUSE_PRINTED:
        error = json.loads(done.out)
        cause = {"hint": error["hint"], "prop": error["property"], "detail": error["detail"]}
        raise AgentError(error["code"], error["message"], **cause)
    if done.code:
        raise AgentError(
            "failed",
            "the agent cannot write the baseline, which lists what the machine had before Portcullis",
            hint="fix the cause and run `up` again; `up` writes the baseline before it changes anything",
            detail=done.text,
        )


def _is_recorded(machine: Machine) -> bool:
    try:
        with path(machine).open("rb") as file:
            found = _MACHINE.search(file.read(_HEAD))
    except OSError:
        return False
    return found is not None and found[1].decode("utf-8", "replace") == machine_id(machine)
