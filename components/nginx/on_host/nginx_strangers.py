"""What in nginx's configuration is neither ours nor as its packages bring it, virtual hosts above all."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import strangers
from portcullis.components.nginx.on_host import nginx_config

if TYPE_CHECKING:
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Store
    from portcullis.agent.strangers import Strangers

_TIMEOUT = 60.0
# Where the packages keep what loads a module; their scripts link to it.
_MODULES = "/usr/share/nginx/"
_LINE = re.compile(r"\[(?:emerg|crit|alert)\] (?:\d+#\d+: )?(.+)")
_PLACE = re.compile(r" in (/\S+:\d+)$")


def read(machine: Machine, store: Store) -> Strangers:
    """Look at nginx's folder, and at what its configuration loads from elsewhere.

    Raises:
        AgentError: ``unreadable``.
    """
    folder = machine.etc / "nginx"

    def explained(path: Path, target: str) -> bool:
        where = os.path.normpath(path.parent / target)
        if path == folder / "sites-enabled/default":
            return where == str(folder / "sites-available/default")
        return path.parent == folder / "modules-enabled" and where.startswith(_MODULES)

    found = strangers.read(machine, store, folder, explained=explained)
    loads = nginx_config.loaded(folder / "nginx.conf")
    for name, file in loads.items():
        one = found.get(name)
        if one is None:
            path = Path(name)
            inside = folder in path.parents or name.startswith(_MODULES)
            if not inside and not strangers.is_declared(store, path):
                mark = strangers.digest(path)
                found[name] = strangers.Stranger(f"nobody declared it; {file.text}", mark)
        elif not one.changed or file.names:
            # What a file says that only root may read stays on the host.
            says = file.text if one.open_to_all else "nginx loads it"
            found[name] = replace(one, text=f"{one.text}; {says}")
    for name, one in found.items():
        if name not in loads and not one.changed:
            found[name] = replace(one, text=f"{one.text}; nginx does not load it")
    return found


def refusal(machine: Machine) -> str:
    """Return the line by which nginx refuses its configuration, "" where it takes it."""
    done = machine.run(["nginx", "-t"], timeout=_TIMEOUT)
    return useful_line(done.text) if done.code else ""


def useful_line(said: str) -> str:
    """Return the line of nginx's output that tells what is wrong."""
    lines = said.splitlines()
    grave = [found[1] for found in map(_LINE.search, lines) if found]
    return (grave or lines or ["nginx refuses its configuration"])[0]


def place_only(line: str) -> str:
    """Return where it is, without the words of the file."""
    found = _PLACE.search(line)
    return f"nginx refuses its configuration{f' in {found[1]}' if found else ''}"
