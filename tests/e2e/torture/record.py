"""Records each round as a line of JSON. `python -m tests.e2e.torture.record SEED` prints a summary."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.project import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def file(seed: str) -> Path:
    """Return the file with the records of a seed."""
    return CHECKOUT / ".portcullis" / f"torture-{seed}.jsonl"


def note(seed: str, what: str, name: str, **found: Any) -> None:
    """Record the result of a round. A later record of the same round replaces the earlier record."""
    path = file(seed)
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as lines:
        lines.write(json.dumps({"what": what, "name": name, **found}) + "\n")


@contextlib.contextmanager
def noted(seed: str, what: str, name: str) -> Iterator[dict[str, Any]]:
    """Record the result of the block, with the values that the block puts into the yielded map.

    An error is recorded and raised again. A round that Ctrl-C ends is not recorded.
    """
    found: dict[str, Any] = {}
    try:
        yield found
    except (Exception, pytest.fail.Exception) as error:
        note(seed, what, name, fault=f"{type(error).__name__}: {error}"[-3000:], **found)
        raise
    note(seed, what, name, fault="", **found)


def summary(seed: str) -> str:
    """Return a summary of all rounds of a seed."""
    path = file(seed)
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    latest = {(line["what"], line["name"]): line for line in lines}.values()
    kills, troubles, few, races, undone = (
        [line for line in latest if line["what"] == what]
        for what in ("kill", "trouble", "few", "race", "lock-out")
    )
    said = [f"seed {seed}"]
    for rounds, what in ((kills, "kills"), (troubles, "full or read-only disks and bad lines")):
        if rounds:
            said.append(f"{_of(rounds)} {what} converged: an empty preview after it, nothing left over")
            said += [f"  by {part}: {_by(rounds, part)}" for part in ("victim", "deed")]
    if rounds := kills + troubles:
        kept, lost = (sum(line[key] for line in rounds) for key in ("kept", "lost"))
        said.append(f"{lost} of {kept} acknowledged writes lost")
        wrong, answered = (sum(line[key] for line in rounds) for key in ("wrong", "answered"))
        said.append(f"{wrong} of {answered + wrong} answers of nginx wrong")
    if few:
        said.append(f"{_of(few)} kills of a small stack converged\n  by victim: {_by(few, 'victim')}")
    if races:
        said.append(f"{_of(races)} races of two deployments: one won, the other named it and changed nothing")
        said.append(f"  by winner: {_by(races, 'won')}")
        said.append(f"a dead owner's lock was free after {max(line['free'] for line in races):.1f} s at most")
    if undone:
        said.append(f"{_of(undone)} lock-outs undone (each error says that the change was taken back)")
    said += [f"FAILED {line['name']}: {line['fault']}" for line in latest if line["fault"]]
    return "\n".join(said)


def _of(lines: Iterable[dict[str, Any]]) -> str:
    faults = [line["fault"] for line in lines]
    return f"{faults.count('')} of {len(faults)}"


def _by(rounds: list[dict[str, Any]], part: str) -> str:
    all_of = Counter(line[part] for line in rounds)
    well = Counter(line[part] for line in rounds if not line["fault"])
    return ", ".join(f"{name} {well[name]}/{all_of[name]}" for name in sorted(all_of))


if __name__ == "__main__":
    sys.stdout.write(summary(sys.argv[1]) + "\n")
