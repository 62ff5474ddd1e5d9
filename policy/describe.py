"""Describe the policies for people, from the same declarations with which the pack checks resources."""

from __future__ import annotations

from portcullis.policy.catalogue import POLICIES

_MARK, _END = "<!-- table: policies -->\n", "<!-- end -->\n"


def table() -> str:
    """Return all policies as a table in Markdown."""
    lines = ["| policy | rule | why | fix |", "|---|---|---|---|"]
    for policy in POLICIES:
        cells = (policy.rule, policy.why, policy.fix)
        lines.append(
            f"| `{policy.name}` | {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        )
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """Return a Markdown page in which the present table of policies replaces the old table."""
    before, found, after = page.partition(_MARK)
    if not found or _END not in after:
        raise ValueError(
            "the page of the policies has no comments that mark the beginning and the end of the table"
        )
    return before + _MARK + table() + _END + after.partition(_END)[2]
