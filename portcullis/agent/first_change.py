"""Records what came with a machine, before the agent changes anything on it.

The kind `inventory` does this in a process of its own. So an agent that only writes files need not load it.
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
_HEAD = 300  # bytes at the start of the baseline that hold the machine's id
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
    """Return the path of the baseline, the file that lists what came with the machine."""
    return machine.state / KIND / "baseline.json"


def machine_id(machine: Machine) -> str:
    """Return machine-id(5), or "" where there is none yet."""
    with contextlib.suppress(OSError):
        return (machine.root / "etc/machine-id").read_text("utf-8", "replace").strip()
    return ""


def make_folder(machine: Machine) -> None:
    """Make the folder of the baseline, for root alone. Raises `AgentError`."""
    try:
        for folder in (machine.state, path(machine).parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise disk.write_error(error, path(machine)) from None


def record(machine: Machine) -> None:
    """Record what came with the machine, unless this was done before. Raises `AgentError`."""
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
            "the agent cannot record what came with the machine",
            hint="fix the cause and run again; the first `up` makes this record before it changes anything",
            detail=done.text,
        )


def _is_recorded(machine: Machine) -> bool:
    try:
        with path(machine).open("rb") as file:
            found = _MACHINE.search(file.read(_HEAD))
    except OSError:
        return False
    return found is not None and found[1].decode("utf-8", "replace") == machine_id(machine)
