"""What a pipeline writes for people: Markdown of a comment or an issue."""

from __future__ import annotations

import html
import re
import textwrap
from typing import TYPE_CHECKING

from portcullis.cli.map import comment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.cli.pipeline.preview import Preview

ROOM = 60_000
"""Characters of a comment. GitHub takes 65,536; GitLab takes more."""
_PART = 15_000
"""Characters of one part of it, such as an error."""
_VERBS = {
    "create": "to create",
    "update": "to change",
    "replace": "to replace",
    "delete": "to delete",
    "create-replacement": "",
    "delete-replaced": "",
}
_NAMES = 10
"""Resources of one operation that are named beside the count."""
_NAME = 120
"""Characters of such a name."""
# A whole line, and nothing that stands in a difference: what a pull request writes hides nothing.
_NOISE = re.compile(r"^ *warning: using pulumi-resource-\S+ from \$PATH at \S+\n", re.MULTILINE)
_HEADER = r" *(?:[-+~<>=]{1,2} ?)?\S+: \([a-z-]+\)"
_REFRESHED = re.compile(rf"^( +)~ docker:\S+ \(refresh\)\n(?:\1 (?!{_HEADER}).*\n)*", re.MULTILINE)
_CHANGED = re.compile(r"^ +(?:[+~-]{2}(?!outputs:)|[+~-] ).*$", re.MULTILINE)
_EMPTY = re.compile(r""" +\+ \S+ *: (?:\[\]|\{\}|""|false|0)| +~ \S+ *: [\[{]""")
_SIGN = re.compile(r"^(\s*)([+~-]{1,2})(?=\s)", re.MULTILINE)
_COLOURS = {"+": "+", "-": "-", "~": "!", "+-": "!", "++": "+", "--": "-", "-+": "!"}


def marker(purpose: str, stack: str) -> str:
    """Return the line by which our comment or issue is found again; it is shown to nobody."""
    return f"<!-- portcullis {purpose} {re.sub(r'[^A-Za-z0-9._/-]', '-', stack)} -->"


def counted(changes: Mapping[str, int]) -> str:
    """Return how much changes, in words."""
    told = [
        f"{count} {verb}"
        for operation, count in changes.items()
        if (verb := _VERBS.get(operation, operation))
    ]
    return ", ".join(told) or "nothing to change"


def named(preview: Preview) -> list[str]:
    """Return which resources change, a line of Markdown for each operation, and an empty one."""
    found: dict[str, dict[str, str]] = {}
    for step in preview.steps.get("steps", ()):
        operation, urn = str(step.get("op")), str(step.get("urn"))
        if operation in preview.changes and _VERBS.get(operation, operation):
            # urn:pulumi:STACK::PROJECT::TYPES::NAME, and a name may hold anything.
            *_, kinds, name = urn.split("::", 3)
            found.setdefault(operation, {})[urn] = f"{re.split('[:$/]', kinds)[-1]} {name}"
    lines = []
    for operation in filter(found.__contains__, preview.changes):
        names = [comment.code(textwrap.shorten(name, _NAME)) for name in found[operation].values()]
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        lines.append(f"- {_VERBS.get(operation, operation)}: {', '.join(names[:_NAMES])}{more}")
    return [*lines, ""] if lines else []


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
        lines += [f"**{counted(preview.changes).capitalize()}.**", "", *named(preview)]
    else:
        lines += ["**The preview failed.** Nothing was changed, and nothing can be said about the host.", ""]
        lines += [fenced(_cut(preview.failure)), ""]
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
        return title, "\n".join([first, "", fenced(_cut(preview.failure)), "", f"<sub>{source}</sub>", ""])
    title = f"Drift: {preview.stack} is not what the code says"
    first = (
        f"{counted(preview.changes).capitalize()}. Somebody changed the host by hand, or what was merged has "
        "not been deployed.\n\n`pulumi up` brings back what the code says; what shall stay belongs into the "
        "code. This issue closes by itself when they agree."
    )
    lines = [first, "", *named(preview)]
    room = ROOM - len("\n".join(lines)) - len(source) - 200
    return title, "\n".join([*lines, _folded(preview, room), f"<sub>{source}</sub>", ""])


def _folded(preview: Preview, room: int) -> str:
    """The differences, folded away; cut where they are too long."""
    title = "Everything that would change" if preview.ok else "All that it printed"
    if preview.is_clean:
        return ""
    text = coloured(quiet(preview.text).strip() if preview.ok else preview.text.strip())
    frame = len(f"<details><summary>{title}</summary>\n\n\n\n</details>\n") + 400
    if len(text) > room - frame:
        kept = text[: max(room - frame, 0)].rpartition("\n")[0]
        text = kept
        title += ": the beginning; the rest is in diff.txt of the run"
    return f"<details><summary>{title}</summary>\n\n{fenced(text, 'diff')}\n\n</details>\n"


def _cut(text: str) -> str:
    """Return a text that leaves room for others: what went wrong first is what counts."""
    if len(text) <= _PART:
        return text
    return text[:_PART].rpartition("\n")[0] + "\n… the rest is in the log of the run"


def quiet(text: str) -> str:
    """Return Pulumi's differences without what it says each time, and what is none.

    Docker's provider reads more of what it made than it knew when it made it. So the first refresh after that
    has a screen of values that are empty, under which a finding is not seen.
    """
    return _REFRESHED.sub(_unless_filled_in, _NOISE.sub("", text))


def _unless_filled_in(block: re.Match[str]) -> str:
    _, *changes = _CHANGED.findall(block[0])
    return "" if all(_EMPTY.fullmatch(line) for line in changes) else block[0]


def coloured(text: str) -> str:
    """Return Pulumi's differences with their signs in the first column, where Markdown colours them."""
    return _SIGN.sub(lambda found: f"{_COLOURS.get(found[2], '!')}{found[1]}{found[2]}", text)


def fenced(text: str, language: str = "") -> str:
    """Return a block of code that nothing in the text can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
