"""Show what a change to the code declares, without a host, a state or a secret: for pull requests from forks.

The Pulumi program runs twice, each time as for a new stack: once without the change and once with it. Then
the declared resources of both runs are compared. Each run has its own copy of the project, its own temporary
state, and a placeholder for every secret.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from portcullis.cli.pipeline import preview
from portcullis.cli.report import events
from portcullis.cli.report.differences import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from portcullis.cli.report.differences import Report

Steps = dict[str, dict[str, Any]]

PLACEHOLDER = "placeholder-of-a-secret"
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".portcullis", ".pulumi-state", "node_modules", "__pycache__"
)
_STATE_VARIABLES = (
    "PULUMI_BACKEND_URL",
    "PULUMI_ACCESS_TOKEN",
    "PULUMI_CONFIG_PASSPHRASE",
    "PULUMI_CONFIG_PASSPHRASE_FILE",
)


def compare(stack: str, base: Path, head: Path, environment: Mapping[str, str], why: str) -> preview.Preview:
    """Preview the difference between the declarations of `base` and `head`.

    Args:
        stack: the stack's name.
        base: a checkout without the change.
        head: a checkout with the change.
        environment: the environment of the commands. Variables that give access to a state are removed.
        why: the reason why the preview reads no host, as text for the comment.
    """
    changed = alone(stack, head, environment, why)
    if not changed.ok:
        return changed
    before: Steps = {}
    # If the change adds the stack, nothing was declared before.
    if _config(stack, base) is not None:
        found = alone(stack, base, environment, why)
        if not found.ok:
            errors = ("the base fails, without this change", *found.report.errors)
            return replace(found, report=replace(found.report, errors=errors))
        before = _states(found)
    after = _states(changed)
    steps = list(_steps(before, after))
    return replace(changed, report=difference(stack, steps), steps={"steps": steps})


def alone(stack: str, checkout: Path, environment: Mapping[str, str], why: str) -> preview.Preview:
    """Preview one checkout as if nothing had been deployed yet."""
    with tempfile.TemporaryDirectory(prefix="portcullis-") as scratch:
        project, state = Path(scratch, "project"), Path(scratch, "state")
        shutil.copytree(checkout, project, ignore=_LEFT_OUT, symlinks=True)
        state.mkdir()
        settings = project / f"Pulumi.{stack}.yaml"
        config = _config(stack, project)
        if config is None:
            return preview.failed(stack, f"there is no {settings.name}", why)
        settings.write_text(yaml.safe_dump({"config": without_secrets(config)}))
        own = {name: value for name, value in environment.items() if name not in _STATE_VARIABLES}
        own |= {"PULUMI_BACKEND_URL": state.as_uri(), "PULUMI_CONFIG_PASSPHRASE": PLACEHOLDER}
        secrets = [f"{path}={PLACEHOLDER}" for path in secret_paths(config)]
        commands = [["stack", "init", stack]]
        if secrets:
            commands.append(
                ["config", "set-all", "--stack", stack, "--path", *(f"--secret={one}" for one in secrets)]
            )
        for command in commands:
            done = preview.run(command, project, own)
            if done.returncode:
                return preview.failed(stack, done.stdout + done.stderr, why)
        _link_venv(checkout, project)
        return preview.look(stack, folder=project, environment=own, code_only=why, policies=True)


def _config(stack: str, checkout: Path) -> dict[str, Any] | None:
    """Return the settings of a stack in a checkout, or None if the checkout has no such stack.

    A program without settings has no file for any stack, for example with Pulumi Cloud.
    """
    file = checkout / f"Pulumi.{stack}.yaml"
    if file.exists():
        return (yaml.safe_load(file.read_text()) or {}).get("config") or {}
    has_others = any(checkout.glob("Pulumi.*.yaml")) or not (checkout / "Pulumi.yaml").exists()
    return None if has_others else {}


def _link_venv(checkout: Path, project: Path) -> None:
    """Link an existing virtual environment into the copy, because Pulumi.yaml names it."""
    for place in (checkout, Path.cwd()):
        if (place / ".venv").is_dir():
            (project / ".venv").symlink_to((place / ".venv").resolve())
            return


def without_secrets(value: Any) -> Any:
    """Return settings with a placeholder for each encrypted value."""
    if isinstance(value, dict):
        if set(value) == {"secure"}:
            return PLACEHOLDER
        return {key: without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value


def secret_paths(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths of encrypted values, in the form that ``pulumi config set --path`` takes."""
    for key, value in config.items():
        yield from _paths(key, value)


def _paths(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if set(value) == {"secure"}:
            yield path
            return
        for key, item in value.items():
            yield from _paths(f'{path}["{key}"]', item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _paths(f"{path}[{number}]", item)


def _states(one: preview.Preview) -> Steps:
    """Return the declared resources by URN, each with the state that a deploy would give it."""
    states = [step.get("newState") or {} for step in one.steps.get("steps") or []]
    return {str(state["urn"]): state for state in states if state.get("urn")}


def _steps(before: Steps, after: Steps) -> Iterator[dict[str, Any]]:
    """Yield the steps from one declaration to the other, in the form of a preview's steps."""
    for urn in sorted({*before, *after}):
        have, want = before.get(urn), after.get(urn)
        if have is None or want is None:
            operation = "create" if have is None else "delete"
        else:
            operation = "same" if have.get("inputs") == want.get("inputs") else "update"
        yield {"op": operation, "urn": urn, "oldState": have, "newState": want}


def difference(stack: str, steps: Iterable[Mapping[str, Any]]) -> Report:
    """Return the report of the steps from one declaration to another."""
    collector = Collector(stack)
    for one in steps:
        state = one["newState"] or one["oldState"] or {}
        metadata = {**one, "type": state.get("type"), "old": one["oldState"], "new": one["newState"]}
        collector.take(events.step("done", metadata))
    return replace(collector.report(), stack=stack)
