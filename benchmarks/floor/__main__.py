"""Declare the resources of an exported stack with the same types, names, parents, inputs and order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi


def plain(value: Any) -> Any:
    """Return a value of the exported state in the form that a program passes to a resource.

    In the export, a secret is a map whose key `plaintext` has the secret value as JSON.
    """
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        if "plaintext" in value:
            return pulumi.Output.secret(json.loads(value["plaintext"]))
        return {key: plain(item) for key, item in value.items() if not key.startswith("__")}
    return value


made: dict[str, pulumi.Resource] = {}
for exported in json.loads(Path("export.json").read_text())["deployment"]["resources"]:
    if not exported["type"].startswith("pulumi:"):
        name = exported["urn"].rpartition("::")[2]
        after = [made[urn] for urn in exported.get("dependencies", []) if urn in made]
        options = pulumi.ResourceOptions(parent=made.get(exported["parent"]), depends_on=after)
        if exported["custom"]:
            properties = plain(exported["inputs"])
            made[exported["urn"]] = pulumi.CustomResource(exported["type"], name, properties, options)
        else:
            made[exported["urn"]] = pulumi.ComponentResource(exported["type"], name, None, options)
