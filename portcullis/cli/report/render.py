"""A report as text, one line for each difference: plain, or in columns and colours on a terminal.

The functions do no I/O.

N differences take at most N + 10 lines. On a terminal each line is one row. On a terminal, longer text is
cut, and `--details` shows the whole text.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from portcullis.cli.report.differences import clean
from portcullis.provider.changes import STAYS, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from portcullis.cli.report.differences import Detail, Difference, Report

GROUPED = 20
"""If more than this many differences say the same of one kind, they share a line."""
_WARNINGS = 3
_NAMED_HOSTS = 3
_NAMED = 3
"""The number of things that a group's line names."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a report.

    Attributes:
        text: the line's text.
        remedy: the action of `up` for the difference.
        mark: the mark of its severity; "" for a cosmetic difference.
        style: title, group, detail or note; "" for the line of a difference.
    """

    text: str
    remedy: str = ""
    mark: str = ""
    style: str = ""

    @property
    def is_difference(self) -> bool:
        """Whether this is the line of a difference."""
        return not self.style

    def plain(self) -> str:
        """Return the line for a file or a pipe, uncut."""
        if not self.is_difference:
            return self.text
        return f"  {self.mark:>2} {self.text}" + (f" — {self.remedy}" if self.remedy else "")


def rows(report: Report, *, details: bool = False, more: str = "", head: str = "") -> list[Row]:
    """Return the lines of a report without errors.

    Args:
        report: the report.
        details: show each difference with its properties, group none, and show those that only follow.
        more: the command that shows the details, or "" to name none.
        head: the first line, if it counts more differences than the report holds.
    """
    found = [Row(head or title(report), style="title")]
    hand = [one for one in report.differences if one.by_hand]
    mine = [one for one in report.differences if not one.by_hand]
    for name, each in (("made by hand", hand), ("in your code", mine)):
        if each and hand and mine:
            found.append(Row(name, style="group"))
        found += _listed(report, each, details=details)
    if report.follows:
        if details:
            found.append(Row("differences that follow from these", style="group"))
            found += _listed(report, report.follows, details=True)
        else:
            count = len(report.follows)
            follow = "difference follows" if count == 1 else "differences follow"
            found.append(Row(f"{count} more {follow} from these", style="note"))
    found += warnings(report, details=details)
    if report.differences and not details and more:
        found.append(Row(f"Details: {more}", style="note"))
    return found


def title(report: Report) -> str:
    """Return the first line of a report: how many differences there are."""
    where = _where(report)
    seconds = f" ({report.seconds:.0f} s)" if report.seconds else ""
    if not report.differences:
        count = report.resources
        return f"{where}: no differences in {count} resource{'' if count == 1 else 's'}{seconds}"
    hand = sum(one.by_hand for one in report.differences)
    mine = sum(one.mine for one in report.differences)
    by_hand = f"{hand} change{'' if hand == 1 else 's'} made by hand"
    return f"{where}: {by_hand}, {mine} change{'' if mine == 1 else 's'} in your code{seconds}"


def _where(report: Report) -> str:
    if len(report.hosts) > _NAMED_HOSTS:
        return f"{len(report.hosts)} hosts"
    return clean(", ".join(report.hosts) or report.stack or "the stack")


def _listed(report: Report, each: Sequence[Difference], *, details: bool) -> Iterator[Row]:
    several = len(report.hosts) > 1
    for group in _grouped(each, alone=details):
        first = group[0]
        host = f"{first.host}: " if several and first.host else ""
        if len(group) > 1:
            names = ", ".join(one.subject for one in group[:_NAMED])
            text = f"{host}{len(group)} x {first.kind}, {first.what}: {names}, …"
            yield Row(text, first.remedy, first.severity)
            continue
        yield Row(f"{host}{first.subject}: {first.what}", first.remedy, first.severity)
        if details:
            for detail in first.details:
                yield from (Row(f"        {line}", style="detail") for line in detailed(detail))


def _grouped(each: Sequence[Difference], *, alone: bool) -> Iterator[list[Difference]]:
    """Group resources of one kind that have the same difference.

    A difference that makes the host unsafe always has its own line.
    """

    def alike(one: Difference) -> tuple[str, ...]:
        return (one.severity, one.host, one.kind, one.what, one.remedy)

    counts = Counter(map(alike, each))
    done = set()
    for one in each:
        key = alike(one)
        if alone or counts[key] <= GROUPED or one.severity == Severity.OPEN.value:
            yield [one]
        elif key not in done:
            done.add(key)
            yield [other for other in each if alike(other) == key]


def warnings(report: Report, *, details: bool = False) -> Iterator[Row]:
    """Return the warnings of the Pulumi program and the providers.

    Without `details`, return only a few warnings, and only the first line of each.
    """
    shown = report.warnings if details else report.warnings[:_WARNINGS]
    for warning in shown:
        lines = warning.splitlines()
        yield from (Row(f"warning: {line}", style="note") for line in (lines if details else lines[:1]))
    if len(report.warnings) > len(shown):
        count = len(report.warnings) - len(shown)
        yield Row(f"{count} more warning{'' if count == 1 else 's'}", style="note")


def detailed(detail: Detail) -> list[str]:
    """Return a property's value on the host and after `up`. For a longer text, return the changed lines."""
    live, goal = _text(detail.live), _text(detail.goal)
    if "\n" in live + goal:
        both = difflib.unified_diff(live.splitlines(), goal.splitlines(), lineterm="", n=1)
        lines = [line for line in list(both)[2:] if not line.startswith("@@")]
        return [f"{clean(detail.path)}:", *(f"  {clean(line)}" for line in lines)]
    return [f"{clean(detail.path)}: {clean(live) or '(none)'} → {clean(goal) or '(none)'}"]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def error_lines(report: Report) -> list[str]:
    """Return the errors of a report. Each error begins with "error:"."""
    found = []
    for message in report.errors:
        first, *more = message.splitlines() or [""]
        found += [f"error: {first}", *more]
    return found


def text(report: Report, *, details: bool = False) -> str:
    """Return a whole report as plain text."""
    if not report.ok:
        return "\n".join(error_lines(report)) + "\n"
    return "\n".join(row.plain() for row in rows(report, details=details)) + "\n"


def of_json(report: Report) -> str:
    """Return a report as JSON for programs. It has placeholders instead of secrets."""
    return json.dumps(
        {
            "result": "error" if not report.ok else "same" if report.is_clean else "differences",
            "stack": report.stack,
            "hosts": report.hosts,
            "differences": [asdict(one) for one in report.differences],
            "follows": [asdict(one) for one in report.follows],
            "errors": report.errors,
            "warnings": report.warnings,
            "resources": report.resources,
            "seconds": round(report.seconds, 1),
        },
        indent=2,
    )


def untouched(report: Report) -> list[Row]:
    """Return lines about the differences that `up` did not change.

    `up` leaves these differences to a person, who must decide.
    """
    stay = [one for one in report.differences if one.stays]
    if not stay:
        return []
    several = len(report.hosts) > 1
    found = [Row("left as it is, for you to decide:", style="group")]
    for one in stay:
        host = f"{one.host}: " if several and one.host else ""
        remedy = one.remedy.removeprefix(STAYS).lstrip("; ")
        found.append(Row(f"{host}{one.subject}: {one.what}", remedy, one.severity))
    return found
