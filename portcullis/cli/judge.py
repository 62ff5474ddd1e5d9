"""Judge a stack by the policies, without an engine.

It runs the program with recorded resources, as a preview of a new stack, and needs neither host nor plugins.
The verdicts are those of `pulumi preview --policy-pack policy`.

Exit code: 0 where nothing stops the stack, 1 where a policy does, 2 where nothing could be judged.
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


def told(verdicts: Sequence[Verdict]) -> str:
    """Tell verdicts to people: what stops first, then warnings, then what is exempt.

    What one policy finds stands together, with its why and its fix once.
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
    """Say in one line how it went."""
    open_ = [one for one in verdicts if not one.exempt]
    stops = sum(one.severity == "stop" for one in open_)
    parts = [f"{stops} stop the stack", f"{len(open_) - stops} warn", f"{len(verdicts) - len(open_)} exempt"]
    return f"{resources} resources judged: {', '.join(parts)}."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    command.add_stack(parser)
    parser.add_argument(
        "--config",
        type=command.place,
        help="what `pulumi config --json --show-secrets` printed, instead of asking it",
    )


def run(options: argparse.Namespace) -> int:
    """Judge a stack, print the verdicts and return the exit code."""
    try:
        stack = command.stack_of(options.stack)
        values = json.loads(options.config.read_text()) if options.config else command.settings(stack)
        config, secret = command.texts(values)
        settings = policies.of_config(config.get(_KEY))
        resources = program.of_program(config, secret, project=project_name(Path.cwd()), stack=stack)
        verdicts = list(judge(resources, settings))
    except (command.Failed, program.NoResources, SettingsError, OSError, ValueError) as error:
        sys.stderr.write(f"error: nothing was judged: {error}\n")
        return 2
    except Exception as error:  # noqa: BLE001 - whatever it is, 1 would say that a policy stops the stack
        # Without its message: there may be a setting in that, and it may be a secret one.
        sys.stderr.write(
            f"error: nothing was judged: {type(error).__name__} in {command.place_in_project(error)}\n"
        )
        return 2
    notes = [
        f"note   {policy}: is {severity} by the settings, and {own} without them"
        for policy, severity, own in milder(settings)
    ]
    notes += [
        f"note   {policy}: {name} is exempt and need not be: take that out of the settings, or mend it"
        for policy, name in unneeded(verdicts, settings)
    ]
    lines = [told(verdicts), *notes, summary(verdicts, len(resources))]
    sys.stdout.write("\n".join(filter(None, lines)) + "\n")
    return 1 if any(one.severity == "stop" and not one.exempt for one in verdicts) else 0
