"""The list of changes by hand has at least 80 changes and all findings of the reviews.

docs/inventory.md lists the topics of these changes.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests import drill
from tests.e2e.inventory.changes import CHANGES, REVIEWED, Change, holds
from tests.e2e.inventory.report import Line, judge

if TYPE_CHECKING:
    import pytest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "inventory.md"


def test_there_are_many_and_most_are_made_together() -> None:
    assert len(CHANGES) >= 80
    assert sum(not change.apart for change in CHANGES.values()) >= 80


def test_all_that_two_reviews_found_missing_is_among_them() -> None:
    assert sorted(change.review for change in CHANGES.values() if change.review) == sorted(REVIEWED)


def test_no_two_changes_are_told_by_the_same_words() -> None:
    words = [(name, change.shown) for name, change in CHANGES.items() if not change.apart]
    same = [
        (one, other)
        for one, mine in words
        for other, theirs in words
        if one < other and set(mine) == set(theirs)
    ]
    assert not same


def test_the_page_lists_what_they_are_about_and_nothing_else() -> None:
    table = PAGE.read_text().partition("## What is covered\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)[1:]  # without the head
    listed = {row for row in rows if not set(row) <= {"-"}}
    assert listed == {change.row for change in CHANGES.values()}


def test_the_same_ones_are_drawn_by_default_others_by_a_seed_and_all_when_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    default = []
    for _ in range(2):
        monkeypatch.delenv(drill.VARIABLE)
        default.append(importlib.reload(drill).drawn(CHANGES))
    assert default[0] == default[1]
    monkeypatch.setenv(drill.VARIABLE, "7")
    some = drill.drawn(CHANGES)
    assert len(some) == drill.SOME
    assert some != default[0]
    monkeypatch.setenv(drill.VARIABLE, drill.ALL)
    assert drill.drawn(CHANGES) == list(CHANGES)


def test_a_word_of_a_line_is_whole() -> None:
    line = "/etc/hosts: its content changed — stays; remove it yourself"
    assert holds(line, ("/etc/hosts", "changed"))
    assert not holds(line.replace("hosts", "hosts.deny"), ("/etc/hosts",))
    assert not holds(line, ("hosts",))


def told(*texts: str) -> list[Line]:
    return [Line(text, "there", f"stays; remove it yourself: rm {text}") for text in texts]


ONE = Change("files", "touch /etc/a", ("/etc/a",), "rm /etc/a", paste=True)
TWO = Change("files", "touch /etc/b", ("/etc/b",), "rm /etc/b", may=(("nginx",),))


def test_the_judge_of_a_report_finds_what_is_missing_told_twice_and_too_much() -> None:
    both = {"one": ONE, "two": TWO}
    assert not judge(both, told("/etc/a", "/etc/b")).faults
    assert not judge(both, told("/etc/a", "/etc/b", "nginx")).faults
    assert "two: /etc/b: not shown" in str(judge(both, told("/etc/a")))
    also = {"one": replace(ONE, follows=(("9999/tcp",),))}
    assert not judge(also, told("/etc/a"), told("9999/tcp")).faults
    assert "one: 9999/tcp: does not follow" in str(judge(also, told("/etc/a"), told("/etc/b")))
    assert "one: /etc/a: 2 times" in str(judge(both, told("/etc/a", "/etc/a", "/etc/b")))
    assert "a line without a change: /etc/c" in str(judge(both, told("/etc/a", "/etc/b", "/etc/c")))
    (fault,) = judge({"one": ONE}, [Line("/etc/a", "there", "up removes it")]).faults[:1]
    assert "wrong remedy" in fault
    assert "no command to paste" in str(judge({"one": ONE}, [Line("/etc/a", "there", "stays")]))
    theirs = {"one": replace(ONE, paste=False, theirs=True)}
    assert not judge(theirs, [Line("/etc/a", "there", "stays")]).faults
    assert "a user could redirect the command" in str(judge(theirs, told("/etc/a")))
