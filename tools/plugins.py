"""Finds the installed provider plugins, and provides stand-ins of the lab for the others.

The engine prefers an executable on PATH to an installed plugin. So a stand-in is on PATH only if the official
plugin is neither installed nor on PATH. This module imports the standard library only.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tools.steps import ROOT, StepError, say, step

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = ROOT / ".portcullis" / "plugins"
_STAND_INS = ROOT / "lab" / "plugins" / "bin"
# The stand-ins of another checkout, if the shell has the environment of that checkout. Those plugins are not
# official.
_OTHERS = ("/.portcullis/plugins", "/lab/plugins/bin")
_NAMES = ("docker", "command", "tls")


def pinned() -> Mapping[str, str]:
    """Return the version of each provider: the version of its Python SDK in requirements.in."""
    text = (ROOT / "requirements.in").read_text()
    return {name: re.findall(rf"^pulumi-{name}==(\S+)", text, re.MULTILINE)[0] for name in _NAMES}


def origins(home: Path, search: str) -> dict[str, str]:
    """Return the place of each plugin, and whether it is the official plugin or a stand-in."""
    found = {}
    for name, version in pinned().items():
        place = official(name, version, home, search)
        found[name] = f"official, {place}" if place else f"stand-in for {version}, {_STAND_INS}"
    return found


def official(name: str, version: str, home: Path, search: str) -> Path | None:
    """Return the official plugin's program on PATH, or else its folder, or None if it is not installed."""
    folders = [
        entry
        for entry in search.split(os.pathsep)
        if entry and Path(entry) not in {FOLDER, _STAND_INS} and not entry.endswith(_OTHERS)
    ]
    on_path = shutil.which(f"pulumi-resource-{name}", path=os.pathsep.join(folders))
    if on_path:
        return Path(on_path)
    installed = home / "plugins" / f"resource-{name}-v{version}"
    # While a download has not ended, the engine keeps a file of this name beside the folder.
    partial = installed.with_name(installed.name + ".partial")
    return installed if installed.is_dir() and not partial.exists() else None


def stand_ins(home: Path, search: str) -> tuple[str, ...]:
    """Put the needed stand-ins into `FOLDER`, remove all others, and return the names of the needed ones."""
    needed = tuple(
        name for name, version in pinned().items() if official(name, version, home, search) is None
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in _NAMES:
        entry = FOLDER / f"pulumi-resource-{name}"
        program = _STAND_INS / entry.name
        if name not in needed or not program.exists():
            entry.unlink(missing_ok=True)
        elif not entry.is_symlink() or entry.readlink() != program:
            fresh = entry.with_name(f".{entry.name}.{os.getpid()}")
            fresh.symlink_to(program)
            fresh.replace(entry)
    return needed


def prepare(home: Path, pulumi: Path | None) -> None:
    """Install the missing plugins with the official `pulumi`, and print which plugins have a stand-in."""
    search = os.environ.get("PATH", "")
    for name, version in pinned().items():
        if pulumi is not None and official(name, version, home, search) is None:
            try:
                step(
                    f"installing the {name} plugin {version}",
                    [str(pulumi), "plugin", "install", "resource", name, f"v{version}"],
                    env={"PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "1"},
                    limit=300,
                )
            except StepError as error:
                say(f"    {str(error).splitlines()[-1].strip()}")
    needed = stand_ins(home, search)
    if needed:
        say(f"plugins: stand-ins of the lab for {', '.join(needed)} (the official ones are not installed)")
