"""Deploy: change the hosts to match the code.

`up` shows every difference, asks for your approval, and prints a line for each difference that it has
removed. Undeclared items stay on the host. `up` lists undeclared items at the end. Other flags are passed on
to Pulumi, such as --policy-pack.

If the stack has several hosts, those that do not answer are left out, with a line for each. The next `up`
deploys the hosts that were left out.

Exit code 0: the deploy succeeded, or nothing differs. Exit code 1: the deploy failed, or left out a host.
Exit code 2: your answer was not yes.
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
from portcullis.provider.changes import GOES

if TYPE_CHECKING:
    import argparse

    from portcullis.cli.report.differences import Report
    from portcullis.cli.report.events import Event

PASSES_ON = True
_MOST_BY_HAND = 3
"""The number of changes by hand that are named before the errors."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("-s", "--stack", help="the stack (default: the selected one)")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("-f", "--skip-preview", action="store_true", help="do not preview first; needs --yes")
    parser.add_argument("--details", action="store_true", help="show each difference with its properties")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs; needs --yes")


def run(options: argparse.Namespace) -> int:
    """Deploy a stack and return the exit code."""
    screen = Screen()
    words = [*stack_words(options), *options.rest]
    approved: Report | None = None
    if (options.skip_preview or options.json or not sys.stdin.isatty()) and not options.yes:
        sys.stderr.write(
            "error: `up` cannot ask for your approval here\n  → run `portcullis preview`, then add --yes\n"
        )
        return FAILED
    if not options.skip_preview:
        with screen.waiting("reading the hosts"):
            approved, _ = engine.run(["preview", *words])
        if approved.interrupted and approved.ok:
            raise KeyboardInterrupt
        if not approved.ok or approved.is_clean or _stays(approved) or not options.yes:
            code = _shown(screen, options, approved)
            if code is not None:
                return code
        elif not options.json:
            screen.show(render.rows(approved, details=options.details))
    ticks = _Ticks(Screen(sys.stderr) if options.json else screen, approved)
    deploy = ["up", "--yes", "--skip-preview", *words]
    with screen.waiting("changing the hosts"):
        done, _ = engine.run(deploy, on_event=ticks.take)
        if (
            not done.ok
            and not done.interrupted
            and (left := cut_off.clear(done.stack, done.hosts, done.errors))
        ):
            ticks.screen.show([Row(line, style="note") for line in left])
            done, _ = engine.run(deploy, on_event=ticks.take)
    # What this `up` took into use must not be told with a command that removes it.
    gone = ticks.settled()
    done = replace(done, differences=tuple(one for one in done.differences if one not in gone))
    if options.json:
        sys.stdout.write(render.of_json(done) + "\n")
        return SAME if done.ok else FAILED
    if not done.ok:
        _print_changes_by_hand(done)
        tell_errors(done)
        return FAILED
    screen.show(_ending(done, ticks.count))
    return SAME


def _stays(seen: Report) -> bool:
    """Return whether `up` would change nothing, because it removes none of the differences."""
    return not seen.follows and all(one.stays for one in seen.differences)


def _shown(screen: Screen, options: argparse.Namespace, seen: Report) -> int | None:
    """Show the preview and ask. Return the exit code if nothing is to be done, None if `up` shall go on."""
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
            answer = input("Make these changes? yes, no, or details: ").strip().lower()
        except (EOFError, KeyboardInterrupt):
            answer = "no"
        if answer in ("yes", "y"):
            return None
        if answer in ("details", "d"):
            screen.show(render.rows(seen, details=True))
        elif answer in ("no", "n", ""):
            screen.show([Row("Nothing was changed.", style="note")])
            return DIFFERENT


@dataclass
class _Ticks:
    """Prints a line for each difference when `up` has removed it."""

    screen: Screen
    approved: Report | None
    count: int = 0
    _seen: Collector = field(default_factory=Collector)
    _begun: dict[str, float] = field(default_factory=dict)
    _waiting: dict[str, list[str]] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Take an event of the engine. Print a resource's lines when all work on the resource is done."""
        self._seen.take(event)
        if not isinstance(event, EngineStep) or event.op in ("same", "refresh", "read"):
            return
        if event.stage == "begun":
            self._begun.setdefault(event.urn, time.monotonic())
            return
        if event.op in ("delete-replaced", "replace"):  # `create-replacement` is the main step
            return
        seconds = time.monotonic() - self._begun.pop(event.urn, time.monotonic())
        failed = event.stage == "failed"
        found = self._seen.lines_of(event.urn)
        shown = [one for line, one in found if not line.follows and not (line.echo and self._is_hidden(one))]
        for one in shown:
            if (one.stays or one.remedy.startswith(GOES)) and not failed:
                continue
            self.count += not failed
            self.screen.show([self._tick(one, seconds, failed=failed)])

    def settled(self) -> list[Difference]:
        """Return the differences that stay, as the preview shows them, but that are gone now."""
        return self._seen.settled()

    def _is_hidden(self, one: Difference) -> bool:
        """Return whether the preview left out all lines of this resource."""
        if self.approved is None:
            return False
        hidden = {other.urn for other in self.approved.follows}
        return one.urn in hidden.difference(other.urn for other in self.approved.differences)

    def _tick(self, one: Difference, seconds: float, *, failed: bool) -> Row:
        word = "failed" if failed else f"{seconds:.1f} s"
        known = self.approved is None or any(
            (other.urn, other.subject, other.what) == (one.urn, one.subject, one.what)
            for other in (*self.approved.differences, *self.approved.follows)
        )
        new = "" if known else " (new since the preview)"
        several = self.approved is not None and len(self.approved.hosts) > 1
        host = f"{one.host}: " if several and one.host else ""
        return Row(f"{'✗' if failed else '✓'} {host}{one.subject}: {one.what}{new}", word, one.severity)


def _ending(done: Report, count: int) -> list[Row]:
    """Return the last lines: the number of changes, the sites' addresses, the remaining differences."""
    where = render.title(replace(done, differences=())).partition(":")[0]
    what = f"{count} done" if count else "nothing to do"
    head = Row(f"{where}: {what} in {done.seconds:.0f} s", style="title")
    sites = [Row(f"  {url}", style="note") for url in sorted(done.sites)] if count else []
    return [head, *sites, *render.untouched(done), *render.warnings(done)]


def _print_changes_by_hand(done: Report) -> None:
    """Print the changes that somebody made by hand.

    These changes come before the errors, because they are the likely cause.
    """
    by_hand = [one for one in done.differences if one.by_hand]
    for one in by_hand[:_MOST_BY_HAND]:
        sys.stderr.write(f"changed by hand before this up: {one.subject}: {one.what}\n")
