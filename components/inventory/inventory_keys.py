"""The grammar of what is on a host: how a line of difference names it, and how it is accepted."""

from __future__ import annotations

ACCEPTED = r"(?:account|key|file|unit|program|package|kernel|container|network|volume|[a-z]+) \S.*"
"""A line of difference up to its colon, such as `file /etc/foo` or `container leak`."""
