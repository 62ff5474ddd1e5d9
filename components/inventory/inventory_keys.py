"""The pattern of the keys that name items of a host, in previews and in the setting `inventory.accept`."""

from __future__ import annotations

ACCEPTED = r"(?:account|key|file|unit|program|package|kernel|container|network|volume|[a-z]+) \S.*"
"""A line of the preview up to its colon, such as `file /etc/foo` or `container leak`."""
