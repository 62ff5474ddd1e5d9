"""The policies described for people, from the same declaration that judges."""

from __future__ import annotations

from portcullis.policy.catalogue import POLICIES

_MARK, _END = "<!-- table: policies -->\n", "<!-- end -->\n"


def table() -> str:
    """Return all policies as a table in Markdown."""
    lines = ["| policy | what has to be so | why | what to do |", "|---|---|---|---|"]
    for policy in POLICIES:
        cells = (policy.rule, policy.why, policy.fix)
        lines.append(
            f"| `{policy.name}` | {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        )
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """Return a page in Markdown with the table under its mark written anew."""
    before, found, after = page.partition(_MARK)
    if not found or _END not in after:
        raise ValueError("the page has no place for the table of policies")
    return before + _MARK + table() + _END + after.partition(_END)[2]
