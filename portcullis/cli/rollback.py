"""Roll an app back to the image that it ran before.

The state has the last image that became healthy, and the image before that one. `rollback` chooses one of the
two, writes it into the stack's settings as `pulumi config set` does, and runs `up`. Only the image is rolled
back. The data is not rolled back, so the changes that a job made to the data remain. Flags of `pulumi up` may
follow, such as --yes.

Of an app with replicas, Docker Swarm remembers the last containers, and which of them ran. `rollback` chooses
among their images.

If the app runs on several hosts, all of them get the image. If the hosts had different images before, --host
names the host whose earlier image all of them get.

Exit code: the exit code of `up`, or 1 if there is no image to roll back to.
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
"""Unknown arguments are passed on to `up`."""
_STATE = "portcullis:index:ContainerState"
_STORES = (":Redis$", ":MongoDB$", ":PostgreSQL$")
"""Parts of a URN that mark the container of a store. A store is never rolled back."""
_IMAGE = "docker:index/remoteImage:RemoteImage"
_PINNED = "@sha256:"


class Refused(Exception):
    """There is no image to roll back to. The error's text gives the reason."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The image to roll an app back to, and the reason."""

    image: str
    why: str


def choose_image(app: str, configured: str, deployment: dict[str, Any]) -> Choice:
    """Choose the image to roll an app back to.

    Args:
        app: name of the app.
        configured: the image in the settings, with a tag or a digest.
        deployment: the stack's state, as `pulumi stack export` prints it.

    Raises:
        Refused: the app was never deployed, or it had only one image.
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
        raise Refused(f"this stack never deployed {app}; its apps are {', '.join(known) or 'none'}")
    outputs = state.get("outputs") or {}
    healthy, before = str(outputs.get("image") or ""), str(outputs.get("previous_image") or "")
    pulled = _find(resources, _IMAGE, f"{app}-image")
    # A tag does not say which image was deployed. The image that was pulled for the tag does.
    declared = configured if _PINNED in configured or pulled is None else str(pulled["outputs"]["name"])
    if declared != healthy:
        why = "the image in the settings never became healthy here; this image did, and still runs"
        return Choice(healthy, why)
    if not before:
        raise Refused(f"{app} has had only one image: there is none before it")
    return Choice(before, "this image was healthy here before the current one")


def _find(resources: Sequence[dict[str, Any]], type_: str, name: str) -> dict[str, Any] | None:
    """Return the resource with a type and name. A resource that Pulumi is about to delete does not count."""
    for one in resources:
        if one["type"] == type_ and one["urn"].endswith(f"::{name}") and not one.get("delete"):
            return one
    return None


def roll_back(
    app: str, stack: str, arguments: Sequence[str], run: Callable[..., subprocess.CompletedProcess[str]]
) -> int:
    """Write the image into the settings and run `up` with `arguments`. Return the exit code of `up`."""
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
        choice = choose_image(app, configured, json.loads(exported.stdout).get("deployment") or {})
    except Refused as refusal:
        _say(f"error: {refusal}")
        return 1
    if asked.returncode:
        _say(f"{app}: {key} is not set. Write this image into your program and run `up`:")
        _say(f"  {choice.image}\n  {choice.why}")
        return 1
    written = run(["config", "set", "--stack", stack, "--path", key, choice.image], capture=True)
    if written.returncode:
        _say(f"error: the settings could not be written\n{written.stderr.strip()}")
        return 1
    _say(f"{app}: {configured}\n  -> {choice.image}\n     {choice.why}")
    _say(f"{key} in Pulumi.{stack}.yaml now has this image. Commit it, or the next deployment undoes this.")
    return run(["up", "--stack", stack, *arguments], capture=False).returncode


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    command.add_stack(parser)
    parser.add_argument("app", help="name of the app in the settings")


def run(options: argparse.Namespace) -> int:
    """Roll one app back."""
    return roll_back(options.app, command.stack_of(options.stack), options.rest, command.pulumi)
