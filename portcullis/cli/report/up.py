"""Make the hosts what the code says: show every difference, ask, and tick off what is done.

What nobody declared stays; it is told at the end. Further flags are Pulumi's, such as --policy-pack.
Exit status: 0, done, or nothing to do; 2, nobody said yes; 1, it failed.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from portcullis.cli.report import cut_off, engine, render
from portcullis.cli.report.differences import Collector, Difference
from portcullis.cli.report.events import EngineStep
from portcullis.cli.report.preview import DIFFERENT, FAILED, SAME, stack_words, tell_errors
from portcullis.cli.report.render import Row
from portcullis.cli.report.terminal import Screen

if TYPE_CHECKING:
    import argparse

    from portcullis.cli.report.differences import Report
    from portcullis.cli.report.events import Event

PASSES_ON = True
_HANDS = 3
"""Changes by hand that are named before a failure."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("-s", "--stack", help="the stack; without it the one that is selected")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("-f", "--skip-preview", action="store_true", help="do not look first; needs --yes")
    parser.add_argument("--details", action="store_true", help="each difference with its properties")
    parser.add_argument("--json", action="store_true", help="for programs; needs --yes")


def run(options: argparse.Namespace) -> int:
    """Deploy a stack and return the exit code."""
    screen = Screen()
    words = [*stack_words(options), *options.rest]
    approved: Report | None = None
    if (options.skip_preview or options.json or not sys.stdin.isatty()) and not options.yes:
        sys.stderr.write(
            "error: nobody can be asked here\n  → look with `portcullis preview`, then add --yes\n"
        )
        return FAILED
    if not options.skip_preview:
        with screen.waiting("reading the hosts"):
            approved, _ = engine.run(["preview", *words])
        if not approved.ok or approved.is_clean or _stays(approved) or not options.yes:
            code = _shown(screen, options, approved)
            if code is not None:
                return code
        elif not options.json:
            screen.show(render.rows(approved, details=options.details))
    ticks = _Ticks(Screen(sys.stderr) if options.json else screen, approved)
    deploy = ["up", "--yes", "--skip-preview", *words]
    with screen.waiting("changing the hosts"):
        done, _ = engine.run(deploy, heard=ticks.heard)
        if not done.ok and (left := cut_off.clear(done.stack, done.hosts, done.errors)):
            ticks.screen.show([Row(line, style="note") for line in left])
            done, _ = engine.run(deploy, heard=ticks.heard)
    if options.json:
        sys.stdout.write(render.of_json(done) + "\n")
        return SAME if done.ok else FAILED
    if not done.ok:
        _tell_hands(done)
        tell_errors(done)
        return FAILED
    screen.show(_ending(done, ticks.count))
    return SAME


def _stays(seen: Report) -> bool:
    """Whether `up` would change nothing, though something differs."""
    return not seen.follows and all(one.stays for one in seen.differences)


def _shown(screen: Screen, options: argparse.Namespace, seen: Report) -> int | None:
    """Show what was seen and ask; return the exit code where nothing is to be done."""
    if options.json:
        sys.stdout.write(render.of_json(seen) + "\n")
        return SAME if seen.ok else FAILED
    if not seen.ok:
        tell_errors(seen)
        return FAILED
    screen.show(render.rows(seen, details=options.details))
    if seen.is_clean or _stays(seen):
        return SAME
    while True:
        try:
            said = input("Do this? yes, no, or details: ").strip().lower()
        except (EOFError, KeyboardInterrupt):
            said = "no"
        if said in ("yes", "y"):
            return None
        if said in ("details", "d"):
            screen.show(render.rows(seen, details=True))
        elif said in ("no", "n", ""):
            screen.show([Row("Nothing was changed.", style="note")])
            return DIFFERENT


@dataclass
class _Ticks:
    """Says what is done, as it is done."""

    screen: Screen
    approved: Report | None
    count: int = 0
    _seen: Collector = field(default_factory=Collector)
    _begun: dict[str, float] = field(default_factory=dict)
    _waiting: dict[str, list[str]] = field(default_factory=dict)

    def heard(self, event: Event) -> None:
        """Take an event of the engine's; a line is said when all of its resource's work is done."""
        self._seen.take(event)
        if not isinstance(event, EngineStep) or event.op in ("same", "refresh", "read"):
            return
        if event.stage == "begun":
            self._begun.setdefault(event.urn, time.monotonic())
            return
        if event.op in ("delete-replaced", "create-replacement"):
            return
        seconds = time.monotonic() - self._begun.pop(event.urn, time.monotonic())
        failed = event.stage == "failed"
        told = [one for line, one in self._seen.lines_of(event.urn) if not line.follows]
        for one in told:
            if one.stays and not failed:
                continue
            self.count += not failed
            self.screen.show([self._tick(one, seconds, failed=failed)])

    def _tick(self, one: Difference, seconds: float, *, failed: bool) -> Row:
        word = "failed" if failed else f"{seconds:.1f} s"
        known = self.approved is None or any(
            (other.urn, other.subject, other.what) == (one.urn, one.subject, one.what)
            for other in (*self.approved.differences, *self.approved.follows)
        )
        new = "" if known else " (came since the preview)"
        several = self.approved is not None and len(self.approved.hosts) > 1
        host = f"{one.host}: " if several and one.host else ""
        return Row(f"{'✗' if failed else '✓'} {host}{one.subject}: {one.what}{new}", word, one.severity)


def _ending(done: Report, count: int) -> list[Row]:
    """Say how it ended: how much was done, where the sites are, what was left alone."""
    where = render.title(replace(done, differences=())).partition(":")[0]
    what = f"{count} done" if count else "nothing to do"
    head = Row(f"{where}: {what} in {done.seconds:.0f} s", style="title")
    sites = [Row(f"  {url}", style="note") for url in sorted(done.sites)] if count else []
    return [head, *sites, *render.untouched(done), *render.warnings(done)]


def _tell_hands(done: Report) -> None:
    """Name before a failure what somebody changed: it is the likely reason."""
    hands = [one for one in done.differences if one.by_hand]
    for one in hands[:_HANDS]:
        sys.stderr.write(f"changed by hand before this: {one.subject}: {one.what}\n")
