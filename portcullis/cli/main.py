"""The command `portcullis`: what people and pipelines do with a stack, one verb each.

A verb's module is imported when the verb is used, and nothing else is: `--help` is quick, and a pipeline
writes its comment with a Python that has no packages.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portcullis import __version__
from portcullis.cli import command
from portcullis.project import project_file

if TYPE_CHECKING:
    from collections.abc import Sequence

PULUMI = {
    "refresh": "take what the hosts are into the state",
    "destroy": "give the hosts back as they were",
}
"""Verbs of Pulumi's own. Their flags are Pulumi's too."""
OURS = {
    "init": ("portcullis.cli.init", "write a new project: Pulumi.yaml and a first program"),
    "preview": ("portcullis.cli.report.preview", "show every difference between the code and the hosts"),
    "up": ("portcullis.cli.report.up", "make the hosts what the code says"),
    "drift": ("portcullis.cli.report.drift", "show what somebody changed on the hosts by hand"),
    "plan": ("portcullis.cli.plan", "what the first `up` would do to what a host has already; read only"),
    "policy": ("portcullis.cli.judge", "judge a stack by the policies: what no stack may do"),
    "scan": ("portcullis.cli.scan.main", "ask the hosts from outside: what answers must be what is declared"),
    "map": ("portcullis.cli.map.main", "who reaches what, out of the state, as a page and as Mermaid text"),
    "tunnels": ("portcullis.cli.tunnels", "what people paste to reach the stores from home"),
    "password": ("portcullis.cli.password", "the passwords of a store's users"),
    "restore": ("portcullis.cli.restore", "list the backups of a host, or bring one back"),
    "rollback": ("portcullis.cli.rollback", "bring back the image that an app ran before"),
    "pipeline": ("portcullis.cli.pipeline.main", "what a pipeline runs: preview, comment, watch"),
}
"""Verbs of our own: the module with `arguments` and `run`, and what the verb does, in one line."""
_WITHOUT_PROJECT = ("init",)
_IN_PLACE = ("preview", "up", "drift")
"""Verbs that pass flags on to Pulumi: what those name stands in the folder that they were typed in."""
_INTERRUPTED = 130
"""The exit code of what Ctrl-C ended, as a shell has it."""
_NO_PROJECT = """\
error: there is no Pulumi.yaml in {folder} or above
  -> go to the folder of your project, or `portcullis init` writes a new one
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb in the project around the working folder; return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in PULUMI:
        return _pulumi(given)
    options = parsed(given)
    if options.called not in _WITHOUT_PROJECT:
        project = project_file(Path.cwd())
        if project is None:
            return _no_project()
        if options.called not in _IN_PLACE:
            # What a verb reads and writes beside the project is named relative to it.
            os.chdir(project.parent)
        command.prepare_environment()
    try:
        code: int = _module(options.called).run(options)
    except command.Failed as failed:
        sys.stderr.write(f"error: {failed}\n")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _pulumi(given: list[str]) -> int:
    """Become Pulumi. It finds the project by itself; only what it says without one leads elsewhere."""
    elsewhere = any(word == "-C" or word.startswith(("-C=", "--cwd")) for word in given)
    if not elsewhere and project_file(Path.cwd()) is None:
        return _no_project()
    command.prepare_environment()
    sys.stdout.flush()
    try:
        os.execvp("pulumi", ["pulumi", *given])  # noqa: S606 - no shell is wanted, and its exit code is ours
    except FileNotFoundError:
        sys.stderr.write(command.HINT)
        return command.MISSING


def _no_project() -> int:
    sys.stderr.write(_NO_PROJECT.format(folder=Path.cwd()))
    return 1


def parsed(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line of a verb of ours. Only the verb that is used fills in its part.

    Returns:
        What the verb takes; `called`, the verb; `rest`, the words that it passes on.

    Raises:
        SystemExit: the command line is wrong, or asks for help.
    """
    parser = argparse.ArgumentParser("portcullis", description="A hardened Docker host, declared in code.")
    parser.add_argument("--version", action="version", version=f"portcullis {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True, title="verbs", dest="called")
    helps = {name: text for name, (_, text) in OURS.items()}
    used = next((word for word in given if word in OURS), "")
    first = {name: helps[name] for name in ("init", *_IN_PLACE)}
    for name, text in {**first, **PULUMI, **helps}.items():
        verb = verbs.add_parser(name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == used:
            verb.description = _module(name).__doc__
            _module(name).arguments(verb)
    options, rest = parser.parse_known_args(given)
    options.rest = rest
    passes_on = options.called == used and getattr(_module(used), "PASSES_ON", False)
    if options.called in PULUMI or (rest and not passes_on):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def _module(verb: str) -> Any:
    return importlib.import_module(OURS[verb][0])
