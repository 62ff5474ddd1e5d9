"""Where a stack's configuration is had: from the program that runs, or from Pulumi's command line."""

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

    It takes every key of the namespace and not only the known ones, which is more than pulumi.Config offers:
    a key that nobody reads is a misspelt one.

    Raises:
        SettingsError: with every fault that can be found without the host.
    """
    import pulumi  # noqa: PLC0415 - who asks the command line does without it
    from pulumi.runtime.config import CONFIG  # noqa: PLC0415 - as above

    texts = {key.removeprefix(_PREFIX): text for key, text in CONFIG.get().items() if key.startswith(_PREFIX)}
    secret = [key for key in texts if pulumi.runtime.is_config_secret(_PREFIX + key)]
    others = [key for key in CONFIG.get() if not key.startswith(_PREFIX)]
    return load(model, {key: _decoded(text) for key, text in texts.items()}, secret, others)


def of_json(model: type[S], config: Mapping[str, Any]) -> S:
    """Validate what `pulumi config --json --show-secrets` prints.

    Raises:
        SettingsError: with every fault.
    """
    ours = {key.removeprefix(_PREFIX): found for key, found in config.items() if key.startswith(_PREFIX)}
    return load(
        model,
        # Structured values come as they are, or as JSON in a text; plain ones as text.
        {key: found.get("objectValue", _decoded(found.get("value", ""))) for key, found in ours.items()},
        [key for key, found in ours.items() if found.get("secret")],
        [key for key in config if not key.startswith(_PREFIX)],
    )


def _decoded(text: str) -> Any:
    """Pulumi hands structured values on as JSON, and plain ones as they are."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # what is nested without end is no structure that we know
        return text
