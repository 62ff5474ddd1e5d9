"""Helpers for rendering configuration files from settings: pure functions with golden tests.

Values come from validated settings, whose types allow no quotes, spaces or semicolons
(portcullis/config/forms.py). Renderers check again with `word`.
"""

from __future__ import annotations

import re


def word(text: str) -> str:
    """Return a text that is safe without quotes in all our files.

    The accepted characters are enough for host names, addresses with ports, and names of resources.

    Raises:
        ValueError: the text contains another character.
    """
    if not re.fullmatch(r"[A-Za-z0-9._:/@-]+", text):
        raise ValueError(f"{text!r} contains characters that a configuration file cannot hold unquoted")
    return text


def header(resource: str, purpose: str) -> str:
    """Return the first lines of a file: its purpose, its resource, and what happens to an edit by hand."""
    return (
        f"# {purpose}\n"
        f"# Declared by the Portcullis resource {word(resource)}. An edit by hand shows as a difference\n"
        "# in the next preview, and the next `pulumi up` takes it back.\n"
    )
