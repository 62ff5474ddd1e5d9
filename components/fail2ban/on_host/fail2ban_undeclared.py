"""Finds undeclared or changed files in fail2ban's folder, and describes the effect of each file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import undeclared
from portcullis.agent.errors import AgentError
from portcullis.components.fail2ban.facts import JAIL_NAME, OURS
from portcullis.components.fail2ban.on_host import jail_files

if TYPE_CHECKING:
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Store
    from portcullis.agent.undeclared import UndeclaredFiles

_TIMEOUT = 60.0
_NOT_READ = "fail2ban does not read it"
# The description of a file in each folder. The braces stand for the file's name.
_WORDS = {
    "filter.d": "the filter {}",
    "action.d": "the action {}, whose commands root runs",
    "fail2ban.d": "settings of the server",
}


def read(machine: Machine, store: Store) -> UndeclaredFiles:
    """Return the undeclared files and the changed files in fail2ban's folder.

    Raises:
        AgentError: ``unreadable``.
    """
    folder = machine.fail2ban
    start, end = f"{OURS}-", ".local"
    names = [path.name[len(start) : -len(end)] for path in folder.glob(f"jail.d/{start}*{end}")]
    declared = [name for name in names if _is_declared(store, name)]
    ours = [jail_files.path_of(folder, jail) for jail in declared]
    later = {jail: set(jail_files.later(folder, jail)) for jail in declared}
    silenced = {path for jail in declared for path in jail_files.silenced(folder, jail)}
    found: UndeclaredFiles = {}
    for name, one in undeclared.read(machine, store, folder, ours=ours).items():
        path = Path(name)
        sections = jail_files.sections(path) if _is_of_jails(folder, path) else None
        is_told = all(path in later.get(jail, ()) for jail in sections) if sections else path in silenced
        if sections is not None and is_told and not one.changed:
            # A declared jail reports this file already, or has commented its lines out.
            found[name] = replace(one, quiet=True)
            continue
        words = (_sets(sections) or "without effect") if sections is not None else _what(folder, path)
        has_effect = bool(sections) if sections is not None else words != _NOT_READ
        found[name] = one if one.changed else one.with_effect(words, has_effect=has_effect)
    return found


def refusal(machine: Machine) -> str:
    """Return fail2ban's error line if fail2ban refuses its configuration.

    Return "" if fail2ban accepts its configuration, or cannot test it.
    """
    try:
        done = machine.run(["fail2ban-client", "-t"], timeout=_TIMEOUT)
    except AgentError:
        return ""  # fail2ban-client is not installed
    if not done.code:
        return ""
    lines = [line.strip() for line in done.text.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line and "test configuration" not in line]
    return (errors or lines or ["fail2ban refuses its configuration"])[0]


def _is_declared(store: Store, jail: str) -> bool:
    return bool(JAIL_NAME.match(jail)) and (store.folder("fail2ban.jails", jail) / "record.json").exists()


def _is_of_jails(folder: Path, path: Path) -> bool:
    if path.suffix not in (".conf", ".local"):
        return False
    return path.parent == folder / "jail.d" or (path.parent == folder and path.stem == "jail")


def _sets(sections: list[str]) -> str:
    return f"sets {', '.join(f'[{each}]' for each in sections)}" if sections else ""


def _what(folder: Path, path: Path) -> str:
    if path.suffix not in (".conf", ".local"):
        return _NOT_READ
    if path.parent == folder:
        return "settings of the server" if path.stem == "fail2ban" else "other files may include it"
    return _WORDS.get(path.parent.name, _NOT_READ).format(path.stem)
