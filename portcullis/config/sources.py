"""Reads a stack's configuration from the running program or from the output of `pulumi config`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from portcullis.config.faults import NAMESPACE
from portcullis.config.load import load
from portcullis.config.section import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

S = TypeVar("S", bound=Section)
_PREFIX = f"{NAMESPACE}:"


def of_program(model: type[S]) -> S:
    """Validate the configuration of the stack that the running Pulumi program belongs to.

    This function reads every key of the namespace, because an unknown key is a misspelt key. pulumi.Config
    cannot list the keys.

    Raises:
        SettingsError: the settings have faults. The error lists every fault that can be found without a
            connection to a host.
    """
    import pulumi  # noqa: PLC0415 - `of_json` works without Pulumi
    from pulumi.runtime.config import CONFIG  # noqa: PLC0415 - as above

    texts = {key.removeprefix(_PREFIX): text for key, text in CONFIG.get().items() if key.startswith(_PREFIX)}
    secret = [key for key in texts if pulumi.runtime.is_config_secret(_PREFIX + key)]
    others = [key for key in CONFIG.get() if not key.startswith(_PREFIX)]
    return load(model, {key: _decoded(text) for key, text in texts.items()}, secret, others)


def of_json(model: type[S], config: Mapping[str, Any]) -> S:
    """Validate the output of `pulumi config --json --show-secrets`.

    Raises:
        SettingsError: with every fault.
    """
    ours = {key.removeprefix(_PREFIX): found for key, found in config.items() if key.startswith(_PREFIX)}
    return load(
        model,
        # A structured value is an objectValue or JSON in a text. A plain value is a text.
        {key: found.get("objectValue", _decoded(found.get("value", ""))) for key, found in ours.items()},
        [key for key, found in ours.items() if found.get("secret")],
        [key for key in config if not key.startswith(_PREFIX)],
    )


def _decoded(text: str) -> Any:
    """Decode a configuration value: Pulumi passes structured values as JSON, and plain values unchanged."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # endlessly nested JSON is no valid setting either
        return text
