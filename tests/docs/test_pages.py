"""The files, anchors and make targets that the documentation names exist."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import PAGES, README, ROOT, anchors, blocks, links, verbs

if TYPE_CHECKING:
    from pathlib import Path

MAKEFILE = (ROOT / "Makefile").read_text()


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_of_the_repository(page: Path) -> None:
    tracked = set(
        subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    )
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link}"
        if target.is_file():
            assert name(target) in tracked, f"{name(page)}: {link} is not in the repository"
        if anchor:
            assert anchor in anchors(target), f"{name(page)}: {link} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_verb_of_make_exists(page: Path) -> None:
    known = set(re.findall(r"^([a-z][a-z0-9-]*):", MAKEFILE, re.MULTILINE))
    assert verbs(page) <= known


def test_make_help_lists_every_verb_that_is_described() -> None:
    described = re.findall(r"^\S+:.*## .*$", MAKEFILE, re.MULTILINE)
    listed = re.search(r"'/(\^.*?)/ \{printf", MAKEFILE)
    assert listed
    assert "e2e" in {line.partition(":")[0] for line in described}
    assert [line for line in described if not re.match(listed[1], line)] == []


def test_a_verb_with_a_digit_is_read_whole(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`make e2e`, and `make drill PYTEST=x`")
    assert verbs(page) == {"e2e", "drill"}


def test_the_readme_names_the_two_commands_first() -> None:
    assert blocks(README)[0] == ["make demo", "make test"]


def test_ci_runs_what_the_readme_calls_the_test() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert re.search(r"^exec make test( |$)", script, re.MULTILINE)
    for verb, runs in (
        ("test", "python -m tools.gate $(PYTEST)"),
        ("test-all", "python -m tools.gate --all $(PYTEST)"),
    ):
        recipe = MAKEFILE[MAKEFILE.index(f"\n{verb}:") :].split("\n\n")[0]
        assert "lint types" in recipe
        assert runs in recipe


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set(), [README]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        ahead += [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if link[0] != "#"]
    assert not {name(page) for page in set(PAGES) - reached}
