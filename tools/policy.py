"""Check a stack against the policy pack: `make policy`, `make policy STACK=prod`.

An official Pulumi checks the stack in a preview, which reads the hosts. The language host of the engine that
we build runs no policy pack. With this engine `portcullis policy` checks the stack, with the same result.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if not __package__:  # started by path, from any folder
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import engine
from tools.steps import ROOT, StepError, ask, reported


def command(stack: str, ready: engine.Engine | None) -> list[str]:
    """Return the command that checks a stack: `pulumi` with an official engine, else `portcullis policy`."""
    if ready is not None and ready.official:
        return ["pulumi", "preview", "--stack", stack, "--policy-pack", "policy"]
    return [str(ROOT / "bin" / "portcullis"), "policy", "--stack", stack]


def prepare(stack: str) -> None:
    """Make stack lab at first use, as tools/stack.sh does; any other one is its owner's to make.

    Raises:
        StepError: there are no settings to check, or the stack cannot be made.
    """
    if stack != "lab":
        found = ask(["pulumi", "stack", "--stack", stack, "--show-name"], cwd=ROOT)
        if found.returncode:
            said = found.stderr.strip().removeprefix("error: ")
            raise StepError(
                f"the stack {stack} cannot be checked: {said}\n"
                f"  -> `pulumi stack init {stack}` creates the stack, `pulumi stack ls` lists all stacks"
            )
        return
    if not (ROOT / "Pulumi.lab.yaml").is_file():
        raise StepError(
            "the stack lab has no host yet (Pulumi.lab.yaml is missing): run `make lab` or `make demo`."
        )
    if not (ROOT / ".pulumi-state/.pulumi/stacks/portcullis/lab.json").exists():
        made = ask(["pulumi", "stack", "select", stack, "--create"], cwd=ROOT)
        if made.returncode:
            raise StepError(f"the stack {stack} cannot be created: {made.stderr.strip()}")


def main() -> None:
    """Run the command line."""
    with reported():
        stack = sys.argv[1] if len(sys.argv) > 1 else "lab"
        prepare(stack)
        argv = command(stack, engine.find())
        os.chdir(ROOT)
        os.execvp(argv[0], argv)  # noqa: S606 - its exit code is ours


if __name__ == "__main__":
    main()
