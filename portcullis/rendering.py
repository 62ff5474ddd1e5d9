"""Helpers for rendering configuration files from settings: pure functions with golden tests.

Values come from validated settings, whose types allow no quotes, spaces or semicolons
(portcullis/config/forms.py). Renderers check these values again with `word`.
"""

from __future__ import annotations

import re


def word(text: str) -> str:
    """Return the text if it is safe without quotes in all files that we write.

    The accepted characters are enough for host names, addresses with ports, and names of resources.

    Raises:
        ValueError: the text contains another character.
    """
    if not re.fullmatch(r"[A-Za-z0-9._:/@-]+", text):
        raise ValueError(
            f"the text {text!r} contains characters that a configuration file cannot contain unquoted"
        )
    return text


def header(resource: str, purpose: str) -> str:
    """Return the first lines of a file: its purpose, its resource, and a note about edits by hand."""
    return (
        f"# {purpose}\n"
        f"# Pulumi manages this file with the Portcullis resource {word(resource)}.\n"
        "# The next `pulumi preview` shows an edit by hand, and the next `pulumi up` undoes the edit.\n"
    )
