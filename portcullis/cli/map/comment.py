"""The map of a change, as part of a comment on a pull request. The functions do no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portcullis.cli.map import draw, state
from portcullis.cli.map.mermaid import escape, mermaid
from portcullis.cli.map.model import Map, changed, differences

if TYPE_CHECKING:
    from collections.abc import Mapping

_EDGES = 400
"""A picture has at most this many edges.

GitHub draws at most 500, and nobody can read a picture with more.
"""
_TEXT = 20_000
"""The Mermaid text has at most this many characters.

A comment may have 65,536 characters, and the map is only a part of it.
"""


def of_preview(preview: Mapping[str, Any]) -> Map:
    """Return the map after a change, with marks on added and removed parts.

    Raises:
        ValueError: `preview` is not the output of `pulumi preview --json`.
    """
    if "steps" not in preview:
        raise ValueError("the file is not the output of `pulumi preview --json`: it has no steps")
    before, after = state.of_preview(preview)
    found = changed(draw.draw(before), draw.draw(after))
    draw.exposed(found, before, after)
    return found


def section(preview: Mapping[str, Any]) -> list[str]:
    """Return the lines of a comment that show the map.

    The lines are in a folded block if the map does not change. Return no lines if the preview has no steps or
    the stack has no host.
    """
    if not preview.get("steps"):
        return []
    found = of_preview(preview)
    if not found.column("port"):
        return []
    changes = differences(found)
    red = [f"{node.label} on {node.host}" for node in found.undeclared]
    summary = f"Who reaches what: {len(changes)} changes" if changes else "Who reaches what: no changes"
    if red:
        summary += f"; {len(red)} open but not declared"
    picture = mermaid(found)
    lines = [f"<details{' open' * bool(changes or red)}><summary>{summary}</summary>", ""]
    if len(found.edges) <= _EDGES and len(picture) <= _TEXT:
        lines += ["```mermaid", picture.rstrip(), "```", ""]
    lines += [f"- {code(line)}" for line in changes[:_EDGES]] + [
        f"- **undeclared:** {code(line)}" for line in red
    ]
    return [*lines, "", "</details>", ""]


def code(line: str) -> str:
    """Return a line as inline code.

    If the line contains a character that could end the inline code, special characters become numbers.
    """
    return f"`{line}`" if line.isprintable() and "`" not in line else f"`{escape(line)}`"
