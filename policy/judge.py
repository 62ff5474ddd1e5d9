"""Judge a stack without an engine: `python -m portcullis.policy.judge --stack lab`.

It runs the program with recorded resources, as a preview of a new stack, and needs neither host nor plugins.
The verdicts are those of `pulumi preview --policy-pack policy`.

Exit code: 0 where nothing stops the stack, 1 where a policy does, 2 where nothing could be judged.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
import traceback
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.cli import command
from portcullis.config.faults import SettingsError
from portcullis.policy import args as policies
from portcullis.policy import program
from portcullis.policy.verdict import advice, judge, milder, unneeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.policy.verdict import Verdict

_ROOT = Path(__file__).resolve().parent.parent
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


def _place(error: Exception) -> str:
    """Say where in the checkout something went wrong."""
    frames = [
        (Path(frame.filename).resolve(), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)
    ]
    own = [
        (file.relative_to(_ROOT), line)
        for file, line in frames
        if file.is_relative_to(_ROOT) and "site-packages" not in file.parts
    ]
    file, line = (own or frames)[-1]
    return f"{file}, line {line}"


def main(argv: Sequence[str] | None = None) -> int:
    """Judge a stack, print the verdicts and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="portcullis.policy.judge", description="Judge a stack by the policy pack."
    )
    parser.add_argument("--stack", default="lab")
    parser.add_argument(
        "--config", type=Path, help="what `pulumi config --json --show-secrets` printed, instead of asking it"
    )
    chosen = parser.parse_args(argv)
    try:
        config, secret = (
            command.texts(chosen.config.read_text()) if chosen.config else program.configuration(chosen.stack)
        )
        settings = policies.of_config(config.get(_KEY))
        resources = program.of_program(config, secret, stack=chosen.stack)
        verdicts = list(judge(resources, settings))
    except (program.NoResources, SettingsError, OSError, ValueError) as error:
        sys.stderr.write(f"error: nothing was judged: {error}\n")
        return 2
    except Exception as error:  # noqa: BLE001 - whatever it is, 1 would say that a policy stops the stack
        # Without its message: there may be a setting in that, and it may be a secret one.
        sys.stderr.write(f"error: nothing was judged: {type(error).__name__} in {_place(error)}\n")
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


if __name__ == "__main__":
    sys.exit(main())
