"""The map of a change, as part of a comment at a pull request. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portcullis.cli.map import draw, state
from portcullis.cli.map.mermaid import escape, mermaid
from portcullis.cli.map.model import Map, changed, differences

if TYPE_CHECKING:
    from collections.abc import Mapping

_EDGES = 400
"""GitHub draws 500; a picture of more would say nothing anyway."""
_TEXT = 20_000
"""Characters of the text; a comment takes 65,536, and has more to say."""


def of_preview(preview: Mapping[str, Any]) -> Map:
    """Return the map after a change, with what it adds and removes.

    Raises:
        ValueError: that is not what `pulumi preview --json` prints.
    """
    if "steps" not in preview:
        raise ValueError("that is not what `pulumi preview --json` prints: it has no steps")
    before, after = state.of_preview(preview)
    found = changed(draw.draw(before), draw.draw(after))
    draw.exposed(found, before, after)
    return found


def section(preview: Mapping[str, Any]) -> list[str]:
    """Return the lines of a comment: open where who reaches what changes, folded away where it stays.

    Nothing where there is nothing to draw: no steps, or a stack without a host.
    """
    if not preview.get("steps"):
        return []
    found = of_preview(preview)
    if not found.column("port"):
        return []
    told = differences(found)
    red = [f"{node.label} on {node.host}" for node in found.undeclared]
    summary = f"Who reaches what: {len(told)} changes" if told else "Who reaches what: as before"
    if red:
        summary += f"; {len(red)} open that nobody declared"
    picture = mermaid(found)
    lines = [f"<details{' open' * bool(told or red)}><summary>{summary}</summary>", ""]
    if len(found.edges) <= _EDGES and len(picture) <= _TEXT:
        lines += ["```mermaid", picture.rstrip(), "```", ""]
    lines += [f"- {code(line)}" for line in told[:_EDGES]] + [
        f"- **undeclared:** {code(line)}" for line in red
    ]
    return [*lines, "", "</details>", ""]


def code(line: str) -> str:
    """Return a line as code: what would end it is written as a number, as in the picture."""
    return f"`{line}`" if line.isprintable() and "`" not in line else f"`{escape(line)}`"
