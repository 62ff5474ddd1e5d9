"""Show every difference between the code and the hosts, one line for each, the most dangerous first.

`!!` marks a difference that makes the host unsafe or loses data. `!` marks something that does not work as
declared. Other flags are passed on to Pulumi, such as --target.

If the stack has several hosts, those that do not answer are left out, with a line for each.

Exit code: 0 if nothing differs, 2 if something differs, 1 if the preview failed or left out a host.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from portcullis.cli import command
from portcullis.cli.report import engine, render
from portcullis.cli.report.terminal import Screen

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from portcullis.cli.report.differences import Report

PASSES_ON = True
SAME, FAILED, DIFFERENT = 0, 1, 2


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("-s", "--stack", help="the stack (default: the selected one)")
    parser.add_argument("--details", action="store_true", help="show each difference with its properties")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def run(options: argparse.Namespace) -> int:
    """Preview a stack and return the exit code."""
    return show(options, "preview")


def show(
    options: argparse.Namespace,
    verb: str,
    *words: str,
    keep: Callable[[Report], Report] = lambda report: report,
) -> int:
    """Preview a stack, show the report and return the exit code.

    Args:
        options: the options of the command line.
        verb: the verb that people typed.
        words: more flags of `pulumi preview`.
        keep: returns the part of the report to show.
    """
    screen = Screen()
    with screen.waiting("reading the hosts"):
        report, _ = engine.run(["preview", *stack_words(options), *words, *options.rest])
    kept = keep(report)
    if options.json:
        sys.stdout.write(render.of_json(kept) + "\n")
    elif report.ok:
        more = command.spelled(report.stack, verb, "--details")
        screen.show(render.rows(kept, details=options.details, more=more, head=render.title(report)))
    else:
        tell_errors(report)
    return code_of(kept)


def stack_words(options: argparse.Namespace) -> list[str]:
    """Return Pulumi's flags that name the stack."""
    return ["--stack", options.stack] if options.stack else []


def tell_errors(report: Report) -> None:
    """Print the errors of a report."""
    sys.stdout.flush()
    sys.stderr.write("\n".join(render.error_lines(report)) + "\n")


def code_of(report: Report) -> int:
    """Return the exit code for the report of a preview."""
    return FAILED if not report.ok else SAME if report.is_clean else DIFFERENT
