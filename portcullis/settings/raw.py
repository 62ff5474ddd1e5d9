"""The settings as they were written, before anything was validated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def entries(config: Mapping[str, Any], key: str) -> dict[str, dict[str, Any]]:
    """Give the entries of a section, each as a map; what is none counts as declared and empty."""
    raw = config.get(key)
    if not isinstance(raw, dict):
        return {}
    return {str(name): entry if isinstance(entry, dict) else {} for name, entry in raw.items()}
