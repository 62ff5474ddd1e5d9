"""Check a stack against the policies, without Pulumi's engine.

`policy` runs the Pulumi program as in the preview of a new stack, to find the declared resources. `policy`
deploys nothing. The check needs no host and no plugins. The result is the same as that of
`pulumi preview --policy-pack policy`.

Exit code: 0 if no policy stops the stack, 1 if a policy stops it, 2 if the policies could not be checked.
"""

from __future__ import annotations

import json
import sys
import textwrap
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.cli import command
from portcullis.config.faults import SettingsError
from portcullis.policy import args as policies
from portcullis.policy import program
from portcullis.policy.verdict import advice, judge, milder, unneeded
from portcullis.project import project_name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from portcullis.policy.verdict import Verdict

_WIDTH = 110
_KEY = "portcullis:policy"


def findings(verdicts: Sequence[Verdict]) -> str:
    """Return the findings as text: first those that stop the stack, then warnings, then exemptions.

    The findings of one policy are grouped. Below each group, the policy's reason and fix follow once.
    """
    order = {"stop": 0, "warn": 1}
    lines: list[str] = []
    in_order = sorted(verdicts, key=lambda one: (order.get(one.severity, 2), one.policy, one.resource))
    open_ = [one for one in in_order if not one.exempt]
    for (severity, policy), each in groupby(open_, key=lambda one: (one.severity, one.policy)):
        lines.append(f"{severity:6} {policy}")
        found = [line for one in each for line in (one.finding, one.ended) if line]
        for line in (*found, *advice(policy)):
            lines += textwrap.wrap(line, _WIDTH, initial_indent=" " * 7, subsequent_indent=" " * 12)
    for one in in_order:
        if one.exempt and one.exemption is not None:
            lines.append(f"exempt {one.policy}: {one.resource or 'stack'}: {one.what}")
            lines.append(f"       until {one.exemption.until}: {one.exemption.reason}")
    return "\n".join(lines)


def summary(verdicts: Sequence[Verdict], resources: int) -> str:
    """Return the result of the check in one line."""
    open_ = [one for one in verdicts if not one.exempt]
    stops = sum(one.severity == "stop" for one in open_)
    parts = [f"{stops} stop the stack", f"{len(open_) - stops} warn", f"{len(verdicts) - len(open_)} exempt"]
    return f"{resources} resources checked: {', '.join(parts)}."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    command.add_stack(parser)
    parser.add_argument(
        "--config",
        type=command.place,
        help="a file with the output of `pulumi config --json --show-secrets`, instead of running it",
    )


def run(options: argparse.Namespace) -> int:
    """Check a stack, print the findings and return the exit code."""
    try:
        stack = command.stack_of(options.stack)
        values = json.loads(options.config.read_text()) if options.config else command.settings(stack)
        config, secret = command.texts(values)
        settings = policies.of_config(config.get(_KEY))
        resources = program.of_program(config, secret, project=project_name(Path.cwd()), stack=stack)
        verdicts = list(judge(resources, settings))
    except (command.Failed, program.NoResources, SettingsError, OSError, ValueError) as error:
        sys.stderr.write(f"error: the policies were not checked: {error}\n")
        return 2
    except Exception as error:  # noqa: BLE001 - for any error: 1 would mean that a policy stops the stack
        # Without the error's message: it may quote a secret setting.
        where = command.place_in_project(error)
        sys.stderr.write(f"error: the policies were not checked: {type(error).__name__} in {where}\n")
        return 2
    notes = [
        f"note   {policy}: the settings make it {severity}; the default is {own}"
        for policy, severity, own in milder(settings)
    ]
    notes += [
        f"note   {policy}: the exemption of {name} is not needed: remove it from the settings, or correct it"
        for policy, name in unneeded(verdicts, settings)
    ]
    lines = [findings(verdicts), *notes, summary(verdicts, len(resources))]
    sys.stdout.write("\n".join(filter(None, lines)) + "\n")
    return 1 if any(one.severity == "stop" and not one.exempt for one in verdicts) else 0
