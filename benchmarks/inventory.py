"""Measures what the inventory costs on a host with 2,000 files in /etc: `python -m benchmarks.inventory`.

A survey is the request with which a preview reads everything on a host. The benchmark asks for a survey with
the inventory and for one without it, alternately. Each survey goes to an agent that has just started, as in
every preview.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import graph
from benchmarks.measure import BenchmarkError, timed
from benchmarks.program import Program
from benchmarks.target import NAME, Target, target
from lab import hostile_user
from lab.errors import LabError
from portcullis.host import HostError
from portcullis.host.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

FILES = 2_000
MOST_SURVEYS = 5
"""A survey with the inventory may take so many times as long as one without it."""
MOST_BYTES = 30_000_000
MOST_TIMES = 1.5
"""A preview of the hostile host may take so many times as long as one of the quiet host."""
_KIND = "inventory"
_STACK = "inventory"
_WALK = "portcullis-inventory.service"
_MEGABYTE = 1_000_000
_PREVIEWS = 5

# This script runs on the host. It installs a package with configuration files, so that /etc has FILES files
# in all.
_FILL = """\
set -e
have=$(find /etc -type f | wc -l); folder=$(mktemp -d); chmod 755 $folder
mkdir -p $folder/DEBIAN $folder/etc/bench
for number in $(seq $have $((WANTED - 1))); do
    seq $number $((number + 200)) > $folder/etc/bench/$number.conf
    echo /etc/bench/$number.conf >> $folder/DEBIAN/conffiles
done
printf 'Package: bench-etc\\nVersion: 1\\nArchitecture: all\\n' > $folder/DEBIAN/control
printf 'Maintainer: t <t@example.com>\\nDescription: t\\n' >> $folder/DEBIAN/control
dpkg-deb -b $folder /run/bench-etc.deb >/dev/null
dpkg -i /run/bench-etc.deb >/dev/null
rm -r $folder /run/bench-etc.deb
"""


@dataclass(frozen=True, slots=True)
class Results:
    """The results.

    Memory is the agent's, in bytes. All others are seconds: of each answer, of the nightly scan, and of
    previews of the quiet and of the hostile host.
    """

    files: int
    with_inventory: Sequence[float]
    without: Sequence[float]
    memory: int
    walk: float
    quiet: Sequence[float]
    hostile: Sequence[float]

    @property
    def surveys(self) -> float:
        """How many times as long a survey with the inventory takes. The median of the pairs counts."""
        pairs = zip(self.with_inventory, self.without, strict=True)
        return statistics.median(mine / less for mine, less in pairs)

    @property
    def times(self) -> float:
        """How many times as long a preview of the hostile host takes. The fastest ones count."""
        return min(self.hostile) / min(self.quiet)


def measured(folder: Path, host: Target, rounds: int) -> Results:
    """Measure the inventory on a fresh host.

    Raises:
        BenchmarkError: the engine or the host failed.
    """
    program = Program(folder, host, _STACK)
    _say(f"{FILES} files in /etc of a bare host, then the first deployment")
    host.console(_FILL.replace("WANTED", str(FILES)))
    program.deploy(replace(graph.host(), inventory=True))
    files = int(host.console("find /etc -type f | wc -l"))
    begun = time.monotonic()
    host.console(f"systemctl start {_WALK}")
    walk = time.monotonic() - begun
    program.survey(1)  # this fills the agent's cache on the host, like the first preview
    both, alone = [], []
    for number in range(rounds):
        seconds, answer = _asked(program, {})
        both.append(seconds)
        rest = [
            {name: item[name] for name in ("kind", "id", "spec")}
            for item in answer["items"]
            if item["kind"] != _KIND
        ]
        if len(rest) == len(answer["items"]):
            raise BenchmarkError("the survey of the host returned no inventory")
        seconds, _ = _asked(program, {"index": False, "items": rest})
        alone.append(seconds)
        _say(f"round {number + 1} of {rounds}: {both[-1] * 1000:.0f} and {alone[-1] * 1000:.0f} ms")
    memory: list[int] = []
    with host.watched(memory):
        program.check()
    quiet = [timed(program.check).seconds for _ in range(_PREVIEWS)]
    _say("a hostile user makes thousands of things")
    host.console(f"python3 - mallory <<'END'\n{Path(hostile_user.__file__).read_text()}\nEND\n")
    host.console(f"systemctl start {_WALK}")
    hostile = [timed(partial(_check_hostile, program)).seconds for _ in range(_PREVIEWS)]
    return Results(files, both, alone, memory[-1], walk, quiet, hostile)


def _check_hostile(program: Program) -> None:
    if not program.finds_drift():
        raise BenchmarkError("a preview of the hostile host shows no difference")


def _asked(program: Program, question: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Ask an agent that has just started for a survey, over a network without delay."""
    session = Session(NAME, _STACK, project=program.project)
    try:
        session.request("hello", timeout=60)
        begun = time.monotonic()
        said = session.request("survey", timeout=60, **{"stack": f"bench/{_STACK}", "items": [], **question})
        return time.monotonic() - begun, said
    finally:
        session.close()


def broken(results: Results) -> list[str]:
    """Return a sentence for each broken limit."""
    found = []
    if results.files < FILES:
        found.append(f"/etc had {results.files} files only; it must have {FILES}")
    if results.surveys > MOST_SURVEYS:
        found.append(
            f"a survey with the inventory took {results.surveys:.2f} times as long as one without it; "
            f"it must be at most {MOST_SURVEYS}"
        )
    if results.memory >= MOST_BYTES:
        used, most = results.memory / _MEGABYTE, MOST_BYTES / _MEGABYTE
        found.append(f"the agent used {used:.1f} MB; it must be under {most:.0f} MB")
    if results.times > MOST_TIMES:
        found.append(
            f"a preview of the hostile host took {results.times:.2f} times as long as one of the quiet host; "
            f"it must be at most {MOST_TIMES}"
        )
    return found


def table(results: Results) -> str:
    """Return the whole report as plain text."""
    both, alone = (
        f"{statistics.median(each) * 1000:.0f} ms ({min(each) * 1000:.0f} - {max(each) * 1000:.0f})"
        for each in (results.with_inventory, results.without)
    )
    quiet, hostile = (
        f"{min(each):.2f} s ({min(each):.2f} - {max(each):.2f})" for each in (results.quiet, results.hostile)
    )
    return "\n".join(
        [
            f"Inventory: {results.files} files in /etc, 22 items, median of {len(results.without)} rounds",
            f"  answer to one survey with it     {both}",
            f"  and without                      {alone}; {results.surveys:.2f} times",
            f"  most memory of the agent         {results.memory / _MEGABYTE:.1f} MB (VmHWM)",
            f"  the nightly walk                 {results.walk:.1f} s, at idle priority",
            f"  a preview of it, fastest         {quiet}",
            f"  and beside a hostile user        {hostile}; {results.times:.2f} times",
        ]
    )


def main() -> int:
    """Return 1 if a result breaks its limit, 2 if nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inventory", description="Inventory.")
    parser.add_argument("--rounds", type=int, default=9, help="how often (default: %(default)s)")
    rounds = parser.parse_args().rounds
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, target() as host:
            results = measured(Path(folder), host, rounds)
    except (BenchmarkError, LabError, HostError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(table(results))
    faults = broken(results)
    for fault in faults:
        print(f"\nBROKEN: {fault}")
    return 1 if faults else 0


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
