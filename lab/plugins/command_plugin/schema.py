"""The properties of pulumi-command 1.2.1's resources; what only the official plugin does is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.plugins.fields import Field, flag, mapping, number, official_only, record, text, texts

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANYTHING = Field("list")  # triggers hold values of any type

_SHARED: Mapping[str, Field] = {
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
}

CONNECTION: Mapping[str, Field] = {
    "agentSocketPath": text(),
    "dialErrorLimit": number(),
    "host": text(required=True),
    "hostKey": text(),
    "password": official_only(text(secret=True)),
    "perDialTimeout": number(),
    "port": number(),
    "privateKey": text(secret=True),
    "privateKeyPassword": official_only(text(secret=True)),
    "proxy": official_only(record({})),
    "user": text(),
}

LOCAL: Mapping[str, Field] = {
    **_SHARED,
    "archivePaths": official_only(texts("list")),
    "assetPaths": official_only(texts("list")),
    "dir": text(),
    "interpreter": texts("list"),
}

REMOTE: Mapping[str, Field] = {**_SHARED, "connection": record(CONNECTION, required=True)}
