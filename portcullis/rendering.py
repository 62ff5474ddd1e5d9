"""From settings to the text of configuration files: pure functions, golden-tested.

Values come from validated settings, whose forms leave no room for quotes, spaces or semicolons
(portcullis/config/forms.py). A renderer still refuses what would break out of its place: see `word`.
"""

from __future__ import annotations

import re


def word(text: str) -> str:
    """Return a text that may stand unquoted in any of our files, or raise ValueError.

    Host names, addresses with ports, names of resources: none needs more than these characters.
    """
    if not re.fullmatch(r"[A-Za-z0-9._:/@-]+", text):
        raise ValueError(f"{text!r} cannot stand in a configuration file")
    return text


def header(resource: str, purpose: str) -> str:
    """Return the first lines of a file: what it is for, which resource it is, what an edit by hand does."""
    return (
        f"# {purpose}\n"
        f"# Declared by the Portcullis resource {word(resource)}. An edit by hand shows as a difference\n"
        "# in the next preview, and the next `pulumi up` takes it back.\n"
    )
