"""What the verbs share: starting Pulumi's command line, and what it needs in the environment."""

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
"""The stack of a checkout's disposable host."""
MISSING = 127
"""The exit code where there is no such program, as a shell has it."""
INSTALL = "https://www.pulumi.com/docs/install/ says how; in a checkout, `. tools/env.sh` finds the lab's"
_NO_STACK = re.compile(r"no stack named '([\w./-]+)' found")
HINT = f"error: pulumi is not installed\n  -> {INSTALL}\n"


class Failed(Exception):
    """What pulumi said when it could not answer; for people."""


def prepare_environment() -> None:
    """Set in this process what Pulumi needs, for everything that it starts.

    `refresh` and `destroy` run the program, and so use today's address of a host. `python3` is ours: a
    command that the program declares is started by a plugin, which knows of no virtual environment.
    """
    os.environ.setdefault("PULUMI_RUN_PROGRAM", "true")
    if sys.prefix != sys.base_prefix:
        scripts = str(Path(sys.executable).parent)
        others = [one for one in os.environ.get("PATH", "").split(os.pathsep) if one and one != scripts]
        os.environ["PATH"] = os.pathsep.join([scripts, *others])


def pulumi(arguments: Sequence[str], *, capture: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `pulumi` to its end.

    Args:
        arguments: what stands after the program's name.
        capture: keep what it prints; else people see it as it comes.

    Returns:
        How it ended. Where there is no Pulumi that is `MISSING`, with what to do on standard error.
    """
    try:
        return subprocess.run(["pulumi", *arguments], capture_output=capture, text=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(["pulumi"], MISSING, "", HINT)


def answer(*arguments: str) -> str:
    """Return what pulumi prints.

    Raises:
        Failed: it is not there, or refuses.
    """
    done = pulumi(arguments)
    if done.returncode:
        said = done.stderr.strip().removeprefix("error: ")
        if found := _NO_STACK.search(said):
            said += f"\n  -> `pulumi stack init {found[1]}` makes it; `pulumi stack ls` shows the others"
        raise Failed(said or f"pulumi {arguments[0]} ended with {done.returncode}")
    return done.stdout


def add_stack(parser: argparse.ArgumentParser) -> None:
    """Let a verb take the stack that it is about."""
    parser.add_argument("--stack", help="the stack; without it the one that is selected")


def stack_of(given: str | None) -> str:
    """Return the stack that is meant: the one that is given, else the one that is selected.

    Raises:
        Failed: none is selected.
    """
    return given or answer("stack", "--show-name").strip()


def spelled(stack: str, verb: str, *words: str) -> str:
    """Spell a command of ours for people to paste, in the project's folder."""
    said = " ".join(["portcullis", verb, "--stack", stack, *words])
    if not Path("bin/portcullis").exists():
        return said
    # In a checkout nothing is installed. Where the lab's engine and state are, a shell knows from that file.
    return f"(. tools/env.sh; {said})" if stack == _LAB else f"bin/{said}"


def settings(stack: str) -> dict[str, Any]:
    """Return a stack's configuration, as `pulumi config --json --show-secrets` prints it.

    Raises:
        Failed: pulumi is not there, or refuses.
    """
    found: dict[str, Any] = json.loads(answer("config", "--stack", stack, "--show-secrets", "--json"))
    return found


def texts(values: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return a stack's configuration as Pulumi hands it to a program.

    Args:
        values: what `settings` returns.

    Returns:
        Full key to value in text; and the keys that are encrypted.
    """
    config = {
        key: found["value"] if "value" in found else json.dumps(found["objectValue"])
        for key, found in values.items()
    }
    return config, [key for key, found in values.items() if found.get("secret")]


def place_in_project(error: Exception) -> str:
    """Return where in the project something went wrong: the file and the line."""
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
    """Read a path from the command line: of the folder that it was typed in."""
    return Path(text).absolute()
