"""Draw the map of a stack from its state: which clients reach which apps and stores.

`map` connects to no host. `map` writes .portcullis/map.html, .svg and .mmd, and prints the text of the map
for Mermaid.

With --preview, `map` draws the map after a change, and marks what the change adds and removes. With --scan,
`map` also draws the undeclared ports that `portcullis scan` found.

Exit code: 0 if the map was drawn, 2 if it could not be drawn.
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
    """The map cannot be drawn. The error's text gives the reason."""


def run(options: argparse.Namespace) -> int:
    """Write or print the map. Return the exit code."""
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
    said += [*found.others, *differences(found)]
    said.append(f"the picture{f', {found.when}' if found.when else ''}: {options.folder / _FILES['html']}")
    said += _newer(options, found)
    sys.stderr.write("\n".join(said) + "\n")
    return 0


def read(options: argparse.Namespace) -> Map:
    """Return the map that the options ask for."""
    if options.preview:
        with _expecting("the output of `pulumi preview --json`", options.preview):
            found = replace(of_preview(_json(options.preview)), when="as previewed")
    else:
        stack = options.stack if options.export else command.stack_of(options.stack)
        source = options.export or f"the state of {stack}"
        with _expecting("the output of `pulumi stack export`", source):
            export = _json(options.export) if options.export else _exported(stack)
            resources = state.of_export(export)
            if not resources:
                raise Stopped(f"{source} has no resources yet: run `up` first, or use --preview")
            time = state.time_of(export)
            found = replace(draw.draw(resources), when=f"as of {time}" if time else "")
            draw.exposed(found, resources)
    if options.scan:
        with _expecting("the output of `portcullis scan --json`", options.scan):
            draw.scanned(found, _json(options.scan))
    return found


def _newer(options: argparse.Namespace, found: Map) -> list[str]:
    """Return a note if the settings are newer than the state: the map may then lack a change."""
    settings = Path(f"Pulumi.{found.stack}.yaml")
    written = re.fullmatch(r"as of (.+) UTC", found.when)
    if options.preview or options.export or not written or not settings.exists():
        return []
    state_time = datetime.strptime(written[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    changed = datetime.fromtimestamp(settings.stat().st_mtime, UTC)
    if changed < state_time + timedelta(minutes=1):
        return []
    return [f"{settings} is newer than the map: run `up`, or use --preview, to see its changes"]


@contextmanager
def _expecting(what: str, source: object) -> Iterator[None]:
    """Turn an error about the form of the data into a message such as "x.json is not the output of ..."."""
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        raise Stopped(f"the input {source} is not {what}: {type(error).__name__}: {error}") from None


def _exported(stack: str) -> dict[str, Any]:
    exported: dict[str, Any] = json.loads(command.answer("stack", "export", "--stack", stack))
    return exported


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise Stopped(f"the file {path} is not JSON: {error}") from None
    return found


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    command.add_stack(parser)
    for option, what in (
        ("--export", "a file with the output of `pulumi stack export`, instead of running it"),
        ("--preview", "a file with the output of `pulumi preview --json`"),
        ("--scan", "a file that `portcullis scan --json` wrote"),
    ):
        parser.add_argument(option, type=command.place, metavar="FILE", help=what)
    parser.add_argument("--format", choices=sorted(FORMATS), help="print this format, and write no file")
    folder = Path(".portcullis")
    parser.add_argument(
        "--folder", type=command.place, default=folder, help="folder for the files (default: %(default)s)"
    )
