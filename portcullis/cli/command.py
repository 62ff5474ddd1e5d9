"""Functions that the verbs share: they run Pulumi's command line and set the environment that it needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

_LAB = "lab"
"""The name of the stack with the disposable test host, for people who work in a checkout."""
MISSING = 127
"""The exit code if a program is not found, as in a shell."""
INSTALL = "https://www.pulumi.com/docs/install/ says how; in a checkout, `. tools/env.sh` finds a Pulumi"
_NO_STACK = re.compile(r"no stack named '([\w./-]+)' found")
HINT = f"error: pulumi is not installed\n  -> {INSTALL}\n"


class Failed(Exception):
    """The verb cannot continue. The error's text gives the reason, for people."""


def prepare_environment() -> None:
    """Set the environment variables that Pulumi needs, for all programs that this process starts.

    With PULUMI_RUN_PROGRAM, `refresh` and `destroy` run the Pulumi program, so they use a host's current
    address. The folder of our own `python3` comes first in PATH, because Pulumi's command plugin ignores
    virtual environments.
    """
    os.environ.setdefault("PULUMI_RUN_PROGRAM", "true")
    if sys.prefix != sys.base_prefix:
        scripts = str(Path(sys.executable).parent)
        others = [one for one in os.environ.get("PATH", "").split(os.pathsep) if one and one != scripts]
        os.environ["PATH"] = os.pathsep.join([scripts, *others])


def pulumi(arguments: Sequence[str], *, capture: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `pulumi` and wait for its end.

    Args:
        arguments: the arguments, without the program's name.
        capture: whether to capture the output. Without `capture`, people see the output as it comes.

    Returns:
        The exit code and the output. If Pulumi is not installed, the exit code is `MISSING`, and advice is
        printed to standard error.
    """
    try:
        return subprocess.run(["pulumi", *arguments], capture_output=capture, text=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(["pulumi"], MISSING, "", HINT)


def answer(*arguments: str) -> str:
    """Run `pulumi` and return what it prints.

    Raises:
        Failed: Pulumi is not installed, or it ended with an error.
    """
    done = pulumi(arguments)
    if done.returncode:
        said = done.stderr.strip().removeprefix("error: ")
        if found := _NO_STACK.search(said):
            said += f"\n  -> `pulumi stack init {found[1]}` creates it; `pulumi stack ls` lists the others"
        raise Failed(said or f"pulumi {arguments[0]} ended with exit code {done.returncode}")
    return done.stdout


def add_stack(parser: argparse.ArgumentParser) -> None:
    """Add the option `--stack` to a verb."""
    parser.add_argument("--stack", help="the stack (default: the selected one)")


def stack_of(given: str | None) -> str:
    """Return the given stack, or the selected one if none is given.

    Raises:
        Failed: no stack is selected.
    """
    return given or answer("stack", "--show-name").strip()


def spelled(stack: str, verb: str, *words: str) -> str:
    """Return a command of Portcullis in a form that people can paste into a shell in the project's folder."""
    said = " ".join(["portcullis", verb, "--stack", stack, *words])
    if not Path("bin/portcullis").exists():
        return said
    # In a checkout, the command `portcullis` is not installed. tools/env.sh tells a shell where the lab's
    # engine and state are.
    return f"(. tools/env.sh; {said})" if stack == _LAB else f"bin/{said}"


def settings(stack: str) -> dict[str, Any]:
    """Return a stack's configuration, as `pulumi config --json --show-secrets` prints it.

    Raises:
        Failed: Pulumi is not installed, or it ended with an error.
    """
    found: dict[str, Any] = json.loads(answer("config", "--stack", stack, "--show-secrets", "--json"))
    return found


def texts(values: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return a stack's configuration in the form that a Pulumi program gets.

    Args:
        values: the result of `settings`.

    Returns:
        The values as texts, each under its full key, and the keys whose values are encrypted.
    """
    config = {
        key: found["value"] if "value" in found else json.dumps(found["objectValue"])
        for key, found in values.items()
    }
    return config, [key for key, found in values.items() if found.get("secret")]


def place_in_project(error: Exception) -> str:
    """Return where in the project an error happened: the file and the line."""
    project = Path.cwd().resolve()
    frames = [
        (Path(frame.filename).resolve(), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)
    ]
    own = [
        (file.relative_to(project), line)
        for file, line in frames
        if file.is_relative_to(project) and "site-packages" not in file.parts
    ]
    file, line = (own or frames)[-1]
    return f"{file}, line {line}"


def place(text: str) -> Path:
    """Return a path of the command line as an absolute path, because the working folder changes later."""
    return Path(text).absolute()
