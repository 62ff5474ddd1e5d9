"""Before the first change on a machine it is recorded what came with it.

The kind `inventory` does it, in a process of its own: an agent that only writes files need not load it.
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
_TOLD = 3  # the exit code where the cause is on standard output
_HEAD = 300  # bytes in which the record says of which machine it is
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
    """Return the file that holds what came with the machine."""
    return machine.state / KIND / "baseline.json"


def machine_id(machine: Machine) -> str:
    """Return machine-id(5), or "" where there is none yet."""
    with contextlib.suppress(OSError):
        return (machine.root / "etc/machine-id").read_text("utf-8", "replace").strip()
    return ""


def make_folder(machine: Machine) -> None:
    """Make the folder of `path`, for root alone. Raises `AgentError`."""
    try:
        for folder in (machine.state, path(machine).parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise disk.write_error(error, path(machine)) from None


def record(machine: Machine) -> None:
    """Record what came with the machine, unless that is done. Raises `AgentError`."""
    if _is_recorded(machine):
        return
    places = {each.name: getattr(machine, each.name) for each in fields(machine)}
    known = {name: str(place) for name, place in places.items() if isinstance(place, Path)}
    argv = [sys.executable or "/usr/bin/python3", "-I", "-c", _RECORD]
    code = Path(__file__).parents[2]
    if not code.exists():
        return  # this session removed the last thing, and the agent with it: the next one records
    done = machine.run([*argv, str(code), json.dumps(known), KIND], timeout=_LONGEST)
    if done.code == _TOLD:
        told = json.loads(done.out)
        cause = {"hint": told["hint"], "prop": told["property"], "detail": told["detail"]}
        raise AgentError(told["code"], told["message"], **cause)
    if done.code:
        raise AgentError(
            "failed",
            "what came with the machine cannot be recorded",
            hint="the first `up` records it before it changes anything; mend what is named, and run again",
            detail=done.text,
        )


def _is_recorded(machine: Machine) -> bool:
    try:
        with path(machine).open("rb") as file:
            found = _MACHINE.search(file.read(_HEAD))
    except OSError:
        return False
    return found is not None and found[1].decode("utf-8", "replace") == machine_id(machine)
