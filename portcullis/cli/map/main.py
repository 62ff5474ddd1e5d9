"""The map of a stack: who reaches what, from the internet to the stores, out of its state.

Nothing is asked of a host.

It writes .portcullis/map.html, .svg and .mmd, and prints the Mermaid text. With the JSON of a preview it is
the map after the change, with what the change adds and removes; with what `portcullis scan --json` wrote,
what answers and nobody declared is in it, too.

Exit status: 0; 2, there is no map.
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portcullis.cli import command
from portcullis.cli.map import draw, state
from portcullis.cli.map.comment import of_preview
from portcullis.cli.map.mermaid import mermaid
from portcullis.cli.map.model import Map, differences
from portcullis.cli.map.page import page
from portcullis.cli.map.svg import svg

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

FORMATS = {"mermaid": mermaid, "svg": svg, "html": page}
_FILES = {"html": "map.html", "svg": "map.svg", "mermaid": "map.mmd"}
_ERROR = 2


class Stopped(Exception):
    """There is no map; the text says why."""


def run(options: argparse.Namespace) -> int:
    """Write or print the map; return the exit status."""
    try:
        found = read(options)
        if options.format:
            print(FORMATS[options.format](found), end="")  # noqa: T201 - a command-line program
            return 0
        options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, file in _FILES.items():
            (options.folder / file).write_text(FORMATS[name](found))
    except (Stopped, command.Failed, OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return _ERROR
    print(mermaid(found), end="")  # noqa: T201
    said = [f"{node.label} on {node.host} is open, and nobody declared it" for node in found.undeclared]
    said += [*found.strangers, *differences(found)]
    said.append(f"the picture{f', {found.when}' if found.when else ''}: {options.folder / _FILES['html']}")
    said += _newer(options, found)
    sys.stderr.write("\n".join(said) + "\n")
    return 0


def read(options: argparse.Namespace) -> Map:
    """Return the map that the options ask for."""
    if options.preview:
        with _as("what `pulumi preview --json` prints", options.preview):
            found = replace(of_preview(_json(options.preview)), when="as previewed")
    else:
        stack = options.stack if options.export else command.stack_of(options.stack)
        source = options.export or f"the state of {stack}"
        with _as("what `pulumi stack export` prints", source):
            export = _json(options.export) if options.export else _exported(stack)
            resources = state.of_export(export)
            if not resources:
                raise Stopped(f"{source} has nothing yet: run `up` first, or give a --preview")
            time = state.time_of(export)
            found = replace(draw.draw(resources), when=f"as of {time}" if time else "")
            draw.exposed(found, resources)
    if options.scan:
        with _as("what `portcullis scan` writes with --json", options.scan):
            draw.scanned(found, _json(options.scan))
    return found


def _newer(options: argparse.Namespace, found: Map) -> list[str]:
    """Say that the settings were written after the state, where they were: a change may not be on the map."""
    settings = Path(f"Pulumi.{found.stack}.yaml")
    written = re.fullmatch(r"as of (.+) UTC", found.when)
    if options.preview or options.export or not written or not settings.exists():
        return []
    state_time = datetime.strptime(written[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    changed = datetime.fromtimestamp(settings.stat().st_mtime, UTC)
    if changed < state_time + timedelta(minutes=1):
        return []
    return [f"{settings} was written after that: what it changes is on the map after an up, or by --preview"]


@contextmanager
def _as(what: str, source: object) -> Iterator[None]:
    """Say of what has another form than it is read as that it is not `what`."""
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        raise Stopped(f"{source} is not {what}: {type(error).__name__}: {error}") from None


def _exported(stack: str) -> dict[str, Any]:
    exported: dict[str, Any] = json.loads(command.answer("stack", "export", "--stack", stack))
    return exported


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise Stopped(f"{path} is not JSON: {error}") from None
    return found


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    command.add_stack(parser)
    for option, what in (
        ("--export", "what `pulumi stack export` printed"),
        ("--preview", "what `pulumi preview --json` printed"),
        ("--scan", "what `portcullis scan` wrote with --json"),
    ):
        parser.add_argument(option, type=command.place, metavar="FILE", help=what)
    parser.add_argument("--format", choices=sorted(FORMATS), help="print this one, and write no file")
    folder = Path(".portcullis")
    parser.add_argument("--folder", type=command.place, default=folder, help="(default: %(default)s)")
