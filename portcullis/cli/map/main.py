"""The map of a stack: `python -m portcullis.cli.map --stack prod`, out of its state.

Nothing is asked of a host.

It writes .portcullis/map.html, .svg and .mmd, and prints the Mermaid text. With the JSON of a preview it is
the map after the change, with what the change adds and removes; with what `make scan` wrote, what answers and
nobody declared is in it, too.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portcullis.cli.command import pulumi
from portcullis.cli.map import draw, state
from portcullis.cli.map.comment import of_preview
from portcullis.cli.map.mermaid import mermaid
from portcullis.cli.map.model import Map, differences
from portcullis.cli.map.page import page
from portcullis.cli.map.svg import svg

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FORMATS = {"mermaid": mermaid, "svg": svg, "html": page}
_FILES = {"html": "map.html", "svg": "map.svg", "mermaid": "map.mmd"}
_ERROR = 2


class Stopped(Exception):
    """There is no map; the text says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or print the map; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        found = read(options)
        if options.format:
            print(FORMATS[options.format](found), end="")  # noqa: T201 - a command-line program
            return 0
        options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, file in _FILES.items():
            (options.folder / file).write_text(FORMATS[name](found))
    except (Stopped, OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return _ERROR
    print(mermaid(found), end="")  # noqa: T201
    said = [f"{node.label} on {node.host} is open, and nobody declared it" for node in found.undeclared]
    when = (
        "as previewed" if options.preview else "as of the last up: a change of the settings is not on it yet"
    )
    said += [*differences(found), f"the picture, {when}: {options.folder / _FILES['html']}"]
    sys.stderr.write("\n".join(said) + "\n")
    return 0


def read(options: argparse.Namespace) -> Map:
    """Return the map that the options ask for."""
    if options.preview:
        with _as("what `pulumi preview --json` prints", options.preview):
            found = of_preview(_json(options.preview))
    else:
        with _as("what `pulumi stack export` prints", options.export or f"the state of {options.stack}"):
            resources = state.of_export(_json(options.export) if options.export else _exported(options.stack))
            if not resources:
                raise Stopped(f"stack {options.stack} has nothing yet: run `up` first, or give a --preview")
            found = draw.draw(resources)
            draw.exposed(found, resources)
    if options.scan:
        with _as("what `make scan` writes with --json", options.scan):
            draw.scanned(found, _json(options.scan))
    return found


@contextmanager
def _as(what: str, source: object) -> Iterator[None]:
    """Say of what has another form than it is read as that it is not `what`."""
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        raise Stopped(f"{source} is not {what}: {type(error).__name__}: {error}") from None


def _exported(stack: str) -> dict[str, Any]:
    done = pulumi(["stack", "export", "--stack", stack])
    if done.returncode:
        raise Stopped(done.stderr.strip().removeprefix("error: "))
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise Stopped(f"{path} is not JSON: {error}") from None
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="portcullis.cli.map", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", default="lab", help="(default: %(default)s)")
    parser.add_argument("--export", type=Path, metavar="FILE", help="what `pulumi stack export` printed")
    parser.add_argument("--preview", type=Path, metavar="FILE", help="what `pulumi preview --json` printed")
    parser.add_argument("--scan", type=Path, metavar="FILE", help="what `make scan` wrote with --json")
    parser.add_argument("--format", choices=sorted(FORMATS), help="print this one, and write no file")
    parser.add_argument("--folder", type=Path, default=Path(".portcullis"), help="(default: %(default)s)")
    return parser
