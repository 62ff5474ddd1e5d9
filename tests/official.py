"""Which plugins serve the tests that run an engine: `make test` takes the official ones where they are."""

from __future__ import annotations

import os
from pathlib import Path

from tools import plugins


def header() -> list[str]:
    """Say of each where it comes from."""
    return [f"plugin {name}: {place}" for name, place in plugins.origins(_home(), _path()).items()]


def program(name: str) -> Path | None:
    """The official plugin's program, or None where there is none."""
    found = plugins.official(name, plugins.pinned()[name], _home(), _path())
    return found / f"pulumi-resource-{name}" if found is not None and found.is_dir() else found


def _home() -> Path:
    return Path(os.environ.get("PULUMI_HOME", Path.home() / ".pulumi"))


def _path() -> str:
    return os.environ.get("PATH", "")
