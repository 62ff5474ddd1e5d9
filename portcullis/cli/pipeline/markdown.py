"""What a pipeline writes for people: Markdown of a comment or an issue."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from portcullis.cli.map import comment
from portcullis.cli.report import render

if TYPE_CHECKING:
    from portcullis.cli.pipeline.preview import Preview

ROOM = 60_000
"""Characters of a comment. GitHub takes 65,536; GitLab takes more."""
_PART = 15_000
"""Characters of one part of it, such as an error."""
_SIGN = re.compile(r"^( {8,})([+-])", re.MULTILINE)


def marker(purpose: str, stack: str) -> str:
    """Return the line by which our comment or issue is found again; it is shown to nobody."""
    return f"<!-- portcullis {purpose} {re.sub(r'[^A-Za-z0-9._/-]', '-', stack)} -->"


def of_preview(preview: Preview, source: str) -> str:
    """Return the comment about a preview.

    Args:
        preview: what it said.
        source: what was previewed: the commit, the run.
    """
    lines = [f"### Preview of `{preview.stack}`", ""]
    if preview.code_only:
        lines += [f"> **Code only, not the live host:** {preview.code_only}", ""]
    if preview.ok:
        lines += [*_listed(preview), ""]
    else:
        lines += ["**The preview failed.** Nothing was changed, and nothing can be said about the host.", ""]
        lines += [fenced(_cut("\n".join(preview.report.errors))), ""]
    lines += _policies(preview)
    lines += comment.section(preview.steps)
    end = f"\n<sub>{source}</sub>\n" if source else ""
    room = ROOM - len("\n".join(lines)) - len(end)
    return "\n".join(lines) + _folded(preview, room) + end


def _policies(preview: Preview) -> list[str]:
    """What the policy pack says: in full where it stops something, folded away where it only tells."""
    if not preview.verdict:
        return []
    if preview.stopped:
        stopped = "#### Stopped by a policy"
        return [stopped, "", "This must not be merged as it is.", "", fenced(_cut(preview.verdict)), ""]
    *told, last = preview.verdict.splitlines()
    summary = html.escape(last)
    if not told:
        return [f"Policies: {summary}", ""]
    block = fenced(_cut("\n".join(told)))
    return [f"<details><summary>Policies: {summary}</summary>\n\n{block}\n\n</details>", ""]


def of_drift(preview: Preview, source: str) -> tuple[str, str]:
    """Return title and text of the issue about a stack that is not what the code says."""
    if not preview.ok:
        title = f"Drift watch: {preview.stack} could not be read"
        first = (
            "The host may be well, and nobody has looked. Until this is mended a change on it goes unseen."
        )
        return title, "\n".join(
            [first, "", fenced(_cut("\n".join(preview.report.errors))), "", f"<sub>{source}</sub>", ""]
        )
    title = f"Drift: {preview.stack} is not what the code says"
    first = (
        "Somebody changed the host by hand, or what was merged has not been deployed.\n\n`portcullis up` "
        "brings back what the code says; what shall stay belongs into the code. This issue closes by itself "
        "when they agree."
    )
    lines = [*_listed(preview), "", first, ""]
    room = ROOM - len("\n".join(lines)) - len(source) - 200
    return title, "\n".join([*lines, _folded(preview, room), f"<sub>{source}</sub>", ""])


def _listed(preview: Preview) -> list[str]:
    """Return the title, and a line for each difference. It is a block of code: nothing in it is markup."""
    head, *rows = render.rows(preview.report)
    title = f"**{comment.code(head.plain())}**"
    return [title, "", fenced(_cut("\n".join(row.plain() for row in rows)))] if rows else [title]


def _folded(preview: Preview, room: int) -> str:
    """The differences with their properties, folded away; cut where they are too long."""
    if preview.is_clean or not preview.ok:
        return ""
    title = "Property by property"
    text = preview.text.strip()
    frame = len(f"<details><summary>{title}</summary>\n\n\n\n</details>\n") + 400
    if len(text) > room - frame:
        text = text[: max(room - frame, 0)].rpartition("\n")[0]
        title += ": the beginning; the rest is in diff.txt of the run"
    return f"<details><summary>{title}</summary>\n\n{fenced(coloured(text), 'diff')}\n\n</details>\n"


def _cut(text: str) -> str:
    """Return a text that leaves room for others: what went wrong first is what counts."""
    if len(text) <= _PART:
        return text
    return text[:_PART].rpartition("\n")[0] + "\n… the rest is in the log of the run"


def coloured(text: str) -> str:
    """Return differences with the signs of lines in the first column, where Markdown colours them."""
    return _SIGN.sub(r"\2\1", text)


def fenced(text: str, language: str = "") -> str:
    """Return a block of code that nothing in the text can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
