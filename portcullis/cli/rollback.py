"""Bring back the image that an app ran before.

State remembers which image got well last, and which one before it. This writes the right one of the two into
the stack's settings, as `pulumi config set` does, and runs `up`. Nothing else goes back: not the data, and
not what a job changed in it. Flags of `pulumi up` may follow, such as --yes.

Exit status: that of `up`; 1, there is nothing to go back to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portcullis.cli import command

if TYPE_CHECKING:
    import argparse
    import subprocess
    from collections.abc import Callable, Sequence

PASSES_ON = True
"""What the command line does not know is for `up`."""
_STATE = "portcullis:index:ContainerState"
_STORES = (":Redis$", ":MongoDB$")
"""What a store's container stands in, by its URN; a store does not go back to a former image."""
_IMAGE = "docker:index/remoteImage:RemoteImage"
_PINNED = "@sha256:"


class Refused(Exception):
    """There is nothing to go back to; the text says why."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where an app goes back to, and why there."""

    image: str
    why: str


def way_back(app: str, configured: str, deployment: dict[str, Any]) -> Way:
    """Choose the image.

    Args:
        app: name of the app.
        configured: the image in the settings; a tag or a digest.
        deployment: the stack's state, as `pulumi stack export` gives it.

    Raises:
        Refused: it was never deployed, or had one image only.
    """
    resources = deployment.get("resources") or []
    state = _find(resources, _STATE, f"{app}-state")
    if state is None:
        known = sorted(
            one["urn"].rsplit("::", 1)[-1].removesuffix("-state")
            for one in resources
            if one["type"] == _STATE
            and one.get("outputs", {}).get("expects") == "healthy"
            and not any(store in one["urn"] for store in _STORES)
        )
        raise Refused(f"{app} was never deployed with this stack; known are {', '.join(known) or 'none'}")
    outputs = state.get("outputs") or {}
    well, before = str(outputs.get("image") or ""), str(outputs.get("previous_image") or "")
    tried = _find(resources, _IMAGE, f"{app}-image")
    # A tag says nothing of what was deployed; the image that was pulled for it does.
    declared = configured if _PINNED in configured or tried is None else str(tried["outputs"]["name"])
    if declared != well:
        return Way(well, "the image in the settings never got well here; this one did, and still serves")
    if not before:
        raise Refused(f"{app} has had one image only: there is none before it")
    return Way(before, "it got well here before the present one")


def _find(resources: Sequence[dict[str, Any]], type_: str, name: str) -> dict[str, Any] | None:
    """The resource of a type and name that is not waiting to be deleted."""
    for one in resources:
        if one["type"] == type_ and one["urn"].endswith(f"::{name}") and not one.get("delete"):
            return one
    return None


def roll_back(
    app: str, stack: str, arguments: Sequence[str], run: Callable[..., subprocess.CompletedProcess[str]]
) -> int:
    """Write the image into the settings and run `up` with `arguments`; return its exit code."""
    key = f"portcullis:apps.{app}.image"
    asked = run(["config", "get", "--stack", stack, "--path", key], capture=True)
    if asked.returncode == command.MISSING:
        _say(asked.stderr.strip())
        return 1
    exported = run(["stack", "export", "--stack", stack], capture=True)
    if exported.returncode:
        _say(f"error: the state of stack {stack} cannot be read\n{exported.stderr.strip()}")
        return 1
    configured = "" if asked.returncode else asked.stdout.strip()
    try:
        way = way_back(app, configured, json.loads(exported.stdout).get("deployment") or {})
    except Refused as refusal:
        _say(f"error: {refusal}")
        return 1
    if asked.returncode:
        _say(f"{app}: {key} is not set, so write the image where your program names it, and run `up`:")
        _say(f"  {way.image}\n  {way.why}")
        return 1
    written = run(["config", "set", "--stack", stack, "--path", key, way.image], capture=True)
    if written.returncode:
        _say(f"error: the settings could not be written\n{written.stderr.strip()}")
        return 1
    _say(f"{app}: {configured}\n  -> {way.image}\n     {way.why}")
    _say(f"{key} in Pulumi.{stack}.yaml says so from now on: commit it, or the next deployment undoes this.")
    return run(["up", "--stack", stack, *arguments], capture=False).returncode


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the verb takes."""
    command.add_stack(parser)
    parser.add_argument("app", help="name of the app in the settings")


def run(options: argparse.Namespace) -> int:
    """Roll one app back."""
    return roll_back(options.app, command.stack_of(options.stack), options.rest, command.pulumi)
