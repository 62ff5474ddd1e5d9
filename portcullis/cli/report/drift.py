"""Show what somebody changed on the hosts by hand, one line for each thing, the most dangerous first.

It shows the report of `preview` without the changes in the code. The first line still counts those.
Other flags are passed on to Pulumi, such as --target.

Exit code: 0, nothing was changed by hand; 2, something was; 1, the check failed.
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
    """Show the changes made by hand and return the exit code."""
    # Only a refresh reads the hosts, so force it, whatever Pulumi.yaml says.
    return preview.show(options, "drift", "--refresh", keep=only_by_hand)


def only_by_hand(report: Report) -> Report:
    """Return the report with only the changes made by hand."""
    shown = tuple(one for one in report.differences if one.by_hand)
    follows = tuple(one for one in report.follows if one.by_hand)
    # If there is nothing else to show, show the differences that only follow.
    return replace(report, differences=shown or follows, follows=follows if shown else ())
