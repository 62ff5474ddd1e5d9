"""A stack's settings, for commands that run outside of its program."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from portcullis.settings.faults import NAMESPACE
from portcullis.settings.load import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.model import Settings


class NoSettings(Exception):
    """What pulumi said when it could not give them."""


def settings_of(stack: str) -> Settings:
    """Ask pulumi for a stack's configuration and validate it.

    Raises:
        NoSettings: pulumi is not there, or refuses.
        SettingsError: with every fault.
    """
    argv = ["pulumi", "config", "--json", "--show-secrets", "--stack", stack]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NoSettings("pulumi is not installed; `. tools/env.sh` finds the lab's") from None
    if done.returncode:
        raise NoSettings(
            done.stderr.strip().removeprefix("error: ") or f"pulumi config ended with {done.returncode}"
        )
    return read(json.loads(done.stdout))


def read(config: Mapping[str, Any]) -> Settings:
    """Validate what `pulumi config --json --show-secrets` prints."""
    prefix = f"{NAMESPACE}:"
    ours = {key.removeprefix(prefix): found for key, found in config.items() if key.startswith(prefix)}
    return load(
        {key: _decoded(found) for key, found in ours.items()},
        [key for key, found in ours.items() if found.get("secret")],
        [key for key in config if not key.startswith(prefix)],
    )


def _decoded(found: Mapping[str, Any]) -> Any:
    """Structured values come as they are, or as JSON in a text; plain ones as text."""
    if "objectValue" in found:
        return found["objectValue"]
    try:
        return json.loads(found.get("value", ""))
    except ValueError:
        return found.get("value")
