"""The pages of the documentation, and what stands in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
GUIDE = ROOT / "docs" / "guide.md"
RUNBOOKS = ROOT / "docs" / "runbooks.md"
PAGES = [
    README,
    CONTRIBUTING,
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]


def links(page: Path) -> list[str]:
    """Return where a page points within the checkout, pictures included."""
    found = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def blocks(page: Path, language: str = "console") -> list[list[str]]:
    """Return the command lines of each fenced block of a language."""
    fenced = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [block.splitlines() for block in fenced]


def verbs(page: Path) -> set[str]:
    """Return the verbs of make that a page names, in text and in blocks."""
    text = page.read_text()
    code = "\n".join(re.findall(r"`([^`\n]+)`", text) + re.findall(r"^ *(make .*)$", text, re.MULTILINE))
    return set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", code))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
