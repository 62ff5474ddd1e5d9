"""Puts words that somebody else chose in quotes, so that they cannot look like our own words."""

from __future__ import annotations


def quoted(text: str) -> str:
    """Return a text in quotes. Whoever wrote the text cannot end the quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def unquoted(text: str) -> str:
    """Return a text in the form of older versions, which did not quote what others wrote."""
    return text.replace("\\", "").replace('"', "")
