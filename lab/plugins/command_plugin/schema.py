"""The properties of pulumi-command 1.2.1's local.Command.

The stand-in refuses properties that only the official plugin supports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.plugins.fields import Field, flag, mapping, official_only, text, texts

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANYTHING = Field("list")  # triggers are values of any type

LOCAL: Mapping[str, Field] = {
    "addPreviousOutputInEnv": flag(),
    "create": text(),
    "delete": text(),
    "environment": mapping(),
    "logging": text(),
    "stdin": text(),
    "triggers": _ANYTHING,
    "update": text(),
    "stdout": text(output=True),
    "stderr": text(output=True),
    "archivePaths": official_only(texts("list")),
    "assetPaths": official_only(texts("list")),
    "dir": text(),
    "interpreter": texts("list"),
}
