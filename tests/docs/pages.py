"""The pages of the documentation, and functions that read links, commands and headings from a page."""

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
    """Return the targets of a page's links and pictures that are files of the checkout."""
    found = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def blocks(page: Path, language: str = "console") -> list[list[str]]:
    """Return the lines of each fenced code block in a language."""
    fenced = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [block.splitlines() for block in fenced]


def verbs(page: Path) -> set[str]:
    """Return the make targets that a page names, in its text and in its code blocks."""
    text = page.read_text()
    code = "\n".join(re.findall(r"`([^`\n]+)`", text) + re.findall(r"^ *(make .*)$", text, re.MULTILINE))
    return set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", code))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes from a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
