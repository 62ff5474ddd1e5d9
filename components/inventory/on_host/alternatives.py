"""Reads the targets of links from the records of update-alternatives(1), section "FILES"."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

FOLDER = "/etc/alternatives"
"""The folder of update-alternatives(1), with one link for each name. For example, /usr/bin/editor is a
link to /etc/alternatives/editor, and this is a link to the program."""


@dataclass(frozen=True, eq=False)
class Alternative:
    """An alternative: a name such as `pager`, with other names that change with it, such as its manual page.

    Attributes:
        name: the main name.
        is_automatic: whether update-alternatives made the choice, and not a person. For an automatic
            alternative, the choice with the highest priority counts.
        links: links outside of `FOLDER`, each with the name that it leads to.
        choices: the priority of each choice, with its target for each name.
    """

    name: str
    is_automatic: bool
    links: Mapping[str, str]
    choices: Sequence[tuple[int, Mapping[str, str]]]

    def expected(self, name: str) -> list[str]:
        """Return the targets that a name may have: the best choice, or every choice if a person chose."""
        best = max((priority for priority, _ in self.choices), default=0)
        return [
            targets[name]
            for priority, targets in self.choices
            if name in targets and (priority == best or not self.is_automatic)
        ]


def read(folder: Path) -> dict[str, Alternative]:
    """Return each alternative by its main name and by the names that change with it."""
    found: dict[str, Alternative] = {}
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            one = parse(path.name, path.read_text("utf-8", "replace"))
            found.update(dict.fromkeys([path.name, *one.links.values()], one))
    return found


def parse(name: str, text: str) -> Alternative:
    """Parse the record of one alternative. A record that is truncated has no choices."""
    lines = iter(text.split("\n"))
    is_automatic, links = next(lines, "") == "auto", {next(lines, ""): name}
    for slave in _block(lines):
        links[next(lines, "")] = slave
    choices = []
    for path in _block(lines):
        priority = next(lines, "")
        targets = {name: path}
        for slave in list(links.values())[1:]:
            target = next(lines, "")
            if target:
                targets[slave] = target
        choices.append((int(priority) if re.fullmatch("-?[0-9]{1,9}", priority) else 0, targets))
    return Alternative(name, is_automatic, links, choices)


def _block(lines: Iterator[str]) -> Iterator[str]:
    """Yield the lines of a record up to an empty line.

    The caller may take further lines from the same iterator in between.
    """
    for line in lines:
        if not line:
            return
        yield line
