"""The command `portcullis`. Each verb, such as `preview` or `scan`, is one task of people and pipelines.

Only the module of the given verb is imported. So `--help` is quick, and a pipeline can write its comment with
a Python that has no packages.
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
    "refresh": "read the hosts and update the state",
    "destroy": "remove the stack and bring back the original files of the hosts",
}
"""Verbs that Pulumi runs. They take Pulumi's flags."""
OURS = {
    "init": ("portcullis.cli.init", "write a new project: Pulumi.yaml and a first program"),
    "preview": ("portcullis.cli.report.preview", "show every difference between the code and the hosts"),
    "up": ("portcullis.cli.report.up", "deploy: change the hosts to match the code"),
    "drift": ("portcullis.cli.report.drift", "show what somebody changed on the hosts by hand"),
    "plan": ("portcullis.cli.plan", "show what the first `up` would change on a host in use; read-only"),
    "policy": ("portcullis.cli.policy", "check a stack against the policies: what no stack may do"),
    "scan": ("portcullis.cli.scan.main", "scan the hosts from outside and compare with what is declared"),
    "map": ("portcullis.cli.map.main", "draw who reaches what, from the state: HTML, SVG and Mermaid"),
    "tunnels": ("portcullis.cli.tunnels", "print the commands that open tunnels to the stores"),
    "password": ("portcullis.cli.password", "print the passwords of a store's users"),
    "restore": ("portcullis.cli.restore", "list the backups of a host, or restore one"),
    "rollback": ("portcullis.cli.rollback", "roll an app back to the image that it ran before"),
    "pipeline": ("portcullis.cli.pipeline.main", "run a step of a CI pipeline: preview, comment or watch"),
}
"""Our own verbs: the module with `arguments` and `run`, and what the verb does, in one line."""
_WITHOUT_PROJECT = ("init",)
_IN_PLACE = ("preview", "up", "drift")
"""Verbs that pass flags on to Pulumi. Paths in those flags are relative to the working folder."""
_INTERRUPTED = 130
"""The exit code after Ctrl-C, as in a shell."""
_NO_PROJECT = """\
error: no Pulumi.yaml in {folder} or in a folder above it
  -> change to the folder of your project, or run `portcullis init` to write a new project
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb in the project that contains the working folder. Return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in PULUMI:
        return _pulumi(given)
    options = parsed(given)
    if options.called not in _WITHOUT_PROJECT:
        project = project_file(Path.cwd())
        if project is None:
            return _no_project()
        if options.called not in _IN_PLACE:
            # These verbs name their files relative to the project's folder.
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
    """Run a verb of Pulumi with its flags.

    Pulumi finds the project by itself. If there is none, we print our own advice: Pulumi's does not fit.
    """
    elsewhere = any(word.startswith(("-C", "--cwd")) for word in given)
    if not elsewhere and project_file(Path.cwd()) is None:
        return _no_project()
    command.prepare_environment()
    try:
        code: int = importlib.import_module("portcullis.cli.pulumi_verb").run(given)
    except FileNotFoundError:
        sys.stderr.write(command.HINT)
        return command.MISSING
    return code


def _no_project() -> int:
    sys.stderr.write(_NO_PROJECT.format(folder=Path.cwd()))
    return 1


def parsed(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line of one of our verbs. Only the given verb adds its arguments.

    Returns:
        The verb's options. `called` is the verb, `rest` has the words that it passes on to Pulumi.

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
