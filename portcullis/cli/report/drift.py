"""Show the changes that somebody made by hand on the hosts, one line each, the most dangerous first.

`drift` shows the report of `preview` without the changes in the code. The first line still counts the changes
in the code. Other flags are passed on to Pulumi, such as --target.

If the stack has several hosts, those that do not answer are left out, with a line for each.

Exit code 0: nothing was changed by hand. Exit code 1: the check failed, or left out a host. Exit code 2:
something was changed by hand.
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
    # Only a refresh reads the hosts, so force a refresh, whatever Pulumi.yaml says.
    return preview.show(options, "drift", "--refresh", keep=only_by_hand)


def only_by_hand(report: Report) -> Report:
    """Return the report with only the changes made by hand."""
    shown = tuple(one for one in report.differences if one.by_hand)
    follows = tuple(one for one in report.follows if one.by_hand)
    # If no other difference remains, show the differences that only follow.
    return replace(report, differences=shown or follows, follows=follows if shown else ())
