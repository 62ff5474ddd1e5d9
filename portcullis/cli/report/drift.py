"""Show what somebody changed on the hosts by hand, one line for each thing, the dangerous ones first.

It is the report of `preview` without the changes that the code asks for; the first line still counts these.
Further flags are Pulumi's, such as --target.
Exit status: 0, nothing was changed by hand; 2, something was; 1, it could not be told.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portcullis.cli.report import preview

if TYPE_CHECKING:
    import argparse

    from portcullis.cli.report.differences import Report

PASSES_ON = True
arguments = preview.arguments


def run(options: argparse.Namespace) -> int:
    """Look for changes by hand and return the exit code."""
    # Without a refresh nobody has asked the hosts, whatever the project's file says.
    return preview.show(options, "drift", "--refresh", keep=of_hands)


def of_hands(report: Report) -> Report:
    """Return a report of what was changed by hand only."""
    told = tuple(one for one in report.differences if one.by_hand)
    follows = tuple(one for one in report.follows if one.by_hand)
    # What only follows is told where there is nothing that it could follow.
    return replace(report, differences=told or follows, follows=follows if told else ())
