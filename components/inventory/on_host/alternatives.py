"""Where the links of update-alternatives(1) should lead, by its own records: its section "FILES"."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, Iterator, List, Mapping, Sequence, Tuple

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "/etc/alternatives"
"""Each name has a link in it, and the links in programs' own folders lead there."""


@dataclass(frozen=True, eq=False)
class Alternative:
    """One of them: a name such as `pager`, with the names of what goes with it.

    Attributes:
        name: of itself.
        is_automatic: nobody chose, so the choice of the highest priority counts.
        links: links outside of `FOLDER`, each with the name that it leads to.
        choices: priority of each choice, with its target for each name.
    """

    name: str
    is_automatic: bool
    links: Mapping[str, str]
    choices: Sequence[Tuple[int, Mapping[str, str]]]

    def expected(self, name: str) -> List[str]:
        """Return where a name may lead: to the best choice, or where somebody chose, to any."""
        best = max((priority for priority, _ in self.choices), default=0)
        return [
            targets[name]
            for priority, targets in self.choices
            if name in targets and (priority == best or not self.is_automatic)
        ]


def read(folder: Path) -> Dict[str, Alternative]:
    """Return each alternative by its name and by those that go with it."""
    found: Dict[str, Alternative] = {}
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            one = parse(path.name, path.read_text("utf-8", "replace"))
            found.update(dict.fromkeys([path.name, *one.links.values()], one))
    return found


def parse(name: str, text: str) -> Alternative:
    """Read one; pure. What is cut off has no choices."""
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
        choices.append((int(priority) if priority.lstrip("-").isdigit() else 0, targets))
    return Alternative(name, is_automatic, links, choices)


def _block(lines: Iterator[str]) -> Iterator[str]:
    """Yield lines up to an empty one; who asks may take some in between."""
    for line in lines:
        if not line:
            return
        yield line
