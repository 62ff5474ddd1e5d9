"""The Markdown text of a pipeline's comments and issues."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from portcullis.cli.map import comment
from portcullis.cli.report import render

if TYPE_CHECKING:
    from portcullis.cli.pipeline.preview import Preview

ROOM = 60_000
"""The most characters of a comment. GitHub allows 65,536, and GitLab more."""
_PART = 15_000
"""The most characters of one part of a comment, such as an error."""
_SIGN = re.compile(r"^( {8,})([+-])", re.MULTILINE)


def marker(purpose: str, stack: str) -> str:
    """Return the invisible line by which later runs find our comment or issue."""
    return f"<!-- portcullis {purpose} {re.sub(r'[^A-Za-z0-9._/-]', '-', stack)} -->"


def of_preview(preview: Preview, source: str) -> str:
    """Return the comment about a preview.

    Args:
        preview: the result of the preview.
        source: the commit and the run.
    """
    lines = [f"### Preview of `{preview.stack}`", ""]
    if preview.code_only:
        lines += [f"> **Code only, not the live host:** {preview.code_only}", ""]
    if preview.ok:
        lines += [*_listed(preview), ""]
    else:
        lines += ["**The preview failed.** Nothing was changed. The state of the host is unknown.", ""]
        lines += [fenced(_cut("\n".join(preview.report.errors))), ""]
    lines += _policies(preview)
    lines += comment.section(preview.steps)
    end = f"\n<sub>{source}</sub>\n" if source else ""
    room = ROOM - len("\n".join(lines)) - len(end)
    return "\n".join(lines) + _folded(preview, room) + end


def _policies(preview: Preview) -> list[str]:
    """Return the findings of the policies as Markdown: unfolded if they stop the stack, else folded."""
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
    """Return title and text of the issue about a stack that does not match the code."""
    if not preview.ok:
        title = f"Drift watch: {preview.stack} could not be read"
        first = "The host may be fine, but nobody can see changes on it until this is fixed."
        return title, "\n".join(
            [first, "", fenced(_cut("\n".join(preview.report.errors))), "", f"<sub>{source}</sub>", ""]
        )
    title = f"Drift: {preview.stack} does not match the code"
    first = (
        "Somebody changed the host by hand, or a merged change is not deployed yet.\n\n`portcullis up` "
        "changes the host to match the code. To keep a change on the host, add it to the code. This issue "
        "closes by itself when host and code match."
    )
    lines = [*_listed(preview), "", first, ""]
    room = ROOM - len("\n".join(lines)) - len(source) - 200
    return title, "\n".join([*lines, _folded(preview, room), f"<sub>{source}</sub>", ""])


def _listed(preview: Preview) -> list[str]:
    """Return the title, and the differences in a code block, so that no text counts as markup."""
    head, *rows = render.rows(preview.report)
    title = f"**{comment.code(head.plain())}**"
    return [title, "", fenced(_cut("\n".join(row.plain() for row in rows)))] if rows else [title]


def _folded(preview: Preview, room: int) -> str:
    """Return the differences with their properties, folded, and cut if they are too long."""
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
    """Return a text, cut to the length that one part of a comment may have.

    The beginning stays, because the first errors are the important ones.
    """
    if len(text) <= _PART:
        return text
    return text[:_PART].rpartition("\n")[0] + "\n… the rest is in the log of the run"


def coloured(text: str) -> str:
    """Return differences with + or - as the first character of a line, because Markdown then colours it."""
    return _SIGN.sub(r"\2\1", text)


def fenced(text: str, language: str = "") -> str:
    """Return a code block that no part of the text can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
