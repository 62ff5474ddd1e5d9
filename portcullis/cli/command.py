"""Starting Pulumi's command line for the tools that ask it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING = 127
"""The exit code where there is no such program, as a shell has it."""
_HINT = "error: pulumi is not installed\n  -> install it, or `. tools/env.sh` first: that finds the lab's\n"


def pulumi(arguments: Sequence[str], *, capture: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `pulumi` to its end.

    Args:
        arguments: what stands after the program's name.
        capture: keep what it prints; else people see it as it comes.

    Returns:
        How it ended. Where there is no Pulumi that is `MISSING`, with what to do on standard error.
    """
    try:
        return subprocess.run(["pulumi", *arguments], capture_output=capture, text=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(["pulumi"], MISSING, "", _HINT)


def texts(printed: str) -> tuple[dict[str, str], list[str]]:
    """Read what `pulumi config --json --show-secrets` prints.

    Returns:
        Full key to value in text, as Pulumi hands it to a program; and the keys that are encrypted.
    """
    values = json.loads(printed)
    config = {
        key: found["value"] if "value" in found else json.dumps(found["objectValue"])
        for key, found in values.items()
    }
    return config, [key for key, found in values.items() if found.get("secret")]
