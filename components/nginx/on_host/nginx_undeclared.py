"""Undeclared files in nginx's configuration, such as virtual hosts, and changed files of nginx's packages."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import undeclared
from portcullis.components.nginx.on_host import nginx_config

if TYPE_CHECKING:
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Store
    from portcullis.agent.undeclared import UndeclaredFiles

_TIMEOUT = 60.0
# nginx's packages have the files that load modules in this folder, and their scripts link to these files.
_MODULES = "/usr/share/nginx/"
_LINE = re.compile(r"\[(?:emerg|crit|alert)\] (?:\d+#\d+: )?(.+)")
_PLACE = re.compile(r" in (/\S+:\d+)$")


def read(machine: Machine, store: Store) -> UndeclaredFiles:
    """Return the undeclared and changed files in nginx's folder, and those that nginx loads from elsewhere.

    Raises:
        AgentError: ``unreadable``: the agent cannot read the folder.
    """
    folder = machine.etc / "nginx"

    def explained(path: Path, target: str) -> bool:
        where = os.path.normpath(path.parent / target)
        if path == folder / "sites-enabled/default":
            return where == str(folder / "sites-available/default")
        return path.parent == folder / "modules-enabled" and where.startswith(_MODULES)

    found = undeclared.read(machine, store, folder, explained=explained)
    loads = nginx_config.loaded(folder / "nginx.conf")
    for name, file in loads.items():
        one = found.get(name)
        if one is None:
            path = Path(name)
            inside = folder in path.parents or name.startswith(_MODULES)
            if not inside and not undeclared.is_declared(store, path):
                mark = undeclared.digest(path)
                text = f"{undeclared.UNKNOWN}; {file.text}"
                found[name] = undeclared.UndeclaredFile(text, mark, fix=(undeclared.REMOVE,))
        elif not one.changed or file.names:
            # The content of a file that only root may read must not leave the host.
            if one.open_to_all:
                found[name] = one.with_effect(file.text, is_named=bool(file.names or file.listens))
            else:
                found[name] = one.with_effect("nginx loads it")
    for name, one in found.items():
        if name not in loads and not one.changed:
            found[name] = one.with_effect("nginx does not load it", has_effect=False)
    return found


def refusal(machine: Machine) -> str:
    """Return the message with which nginx refuses its configuration; "" if nginx accepts the files."""
    done = machine.run(["nginx", "-t"], timeout=_TIMEOUT)
    return useful_line(done.text) if done.code else ""


def useful_line(said: str) -> str:
    """Return the line of nginx's output that names the fault."""
    lines = said.splitlines()
    grave = [found[1] for found in map(_LINE.search, lines) if found]
    return (grave or lines or ["nginx refuses its configuration"])[0]


def place_only(line: str) -> str:
    """Return the place of a fault, without the words that nginx's message quotes from the file."""
    found = _PLACE.search(line)
    return f"nginx refuses its configuration{f' in {found[1]}' if found else ''}"
