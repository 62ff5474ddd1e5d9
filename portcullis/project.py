"""Finds the Pulumi project of a folder, and the plugin that the project must name."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import Any

PLUGIN = "pulumi-resource-portcullis"
_FILES = ("Pulumi.yaml", "Pulumi.yml", "Pulumi.json")


def project_file(folder: Path) -> Path | None:
    """Return the project file for a folder, found as Pulumi finds it, or None without a project file."""
    return next(
        (above / name for above in (folder, *folder.parents) for name in _FILES if (above / name).is_file()),
        None,
    )


def read_project(file: Path) -> dict[str, Any]:
    """Return the content of a project file.

    A file that is no mapping counts as empty, because Pulumi reports that fault.
    """
    import yaml  # noqa: PLC0415 - CI pipelines use `project_file` on a Python without PyYAML

    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def project_name(folder: Path) -> str:
    """Return the name of the project for a folder; "" if there is no project."""
    file = project_file(folder)
    return str(read_project(file).get("name", "")) if file else ""


def plugin_folder() -> Path:
    """Return the folder with the plugin: the folder that pip installed it to, or the checkout's own."""
    beside = Path(sys.executable).parent
    schemes = (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user"))
    installed = [Path(sysconfig.get_path("scripts", scheme)) for scheme in schemes]
    checkout = Path(__file__).resolve().parents[1] / "plugin"
    return next((one for one in (beside, *installed, checkout) if (one / PLUGIN).exists()), beside)
