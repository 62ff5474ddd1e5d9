"""Read the settings of the stack that the running Pulumi program belongs to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.runtime.config import CONFIG

from portcullis.settings.faults import NAMESPACE
from portcullis.settings.load import load

if TYPE_CHECKING:
    from portcullis.settings.model import Settings


def stack_settings() -> Settings:
    """Validate this stack's configuration.

    It takes every key of the namespace and not only the known ones, which is more than pulumi.Config offers:
    a key that nobody reads is a misspelt one.

    Raises:
        SettingsError: with every fault that can be found without the host.
    """
    prefix = f"{NAMESPACE}:"
    texts = {key.removeprefix(prefix): text for key, text in CONFIG.get().items() if key.startswith(prefix)}
    secret = [key for key in texts if pulumi.runtime.is_config_secret(prefix + key)]
    others = [key for key in CONFIG.get() if not key.startswith(prefix)]
    return load({key: _decoded(text) for key, text in texts.items()}, secret, others)


def _decoded(text: str) -> Any:
    """Pulumi hands structured values to a program as JSON, and plain ones as they are."""
    try:
        return json.loads(text)
    except ValueError:
        return text
