"""Finds Pulumi's official plugins. Tests that run the engine use these plugins if they are installed."""

from __future__ import annotations

import os
from pathlib import Path

from tools import plugins


def header() -> list[str]:
    """Return a line for each Pulumi plugin, which says where the plugin comes from."""
    return [f"plugin {name}: {place}" for name, place in plugins.origins(_home(), _path()).items()]


def program(name: str) -> Path | None:
    """Return the program of an official plugin. Without an official plugin return None."""
    found = plugins.official(name, plugins.pinned()[name], _home(), _path())
    return found / f"pulumi-resource-{name}" if found is not None and found.is_dir() else found


def _home() -> Path:
    return Path(os.environ.get("PULUMI_HOME", Path.home() / ".pulumi"))


def _path() -> str:
    return os.environ.get("PATH", "")
