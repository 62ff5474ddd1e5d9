"""What a change to the code declares, told without a host, a state or a secret: for pull requests from forks.

The program is run twice against nothing, once as it was and once as it would be, and what it declares is
compared. Each run has a copy of the project, a state of its own that is thrown away, and a placeholder
for every secret.
"""

from __future__ import annotations

import difflib
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from portcullis.cli.pipeline import preview

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Steps = dict[str, dict[str, Any]]

PLACEHOLDER = "placeholder-of-a-secret"
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".portcullis", ".pulumi-state", "node_modules", "__pycache__"
)
_STATELY = (
    "PULUMI_BACKEND_URL",
    "PULUMI_ACCESS_TOKEN",
    "PULUMI_CONFIG_PASSPHRASE",
    "PULUMI_CONFIG_PASSPHRASE_FILE",
)


def compare(stack: str, base: Path, head: Path, environment: Mapping[str, str], why: str) -> preview.Preview:
    """Preview what `head` declares beyond `base`.

    Args:
        stack: the stack's name, whose settings both checkouts have.
        base: a checkout of what the change is for.
        head: a checkout of the change.
        environment: of the commands; what leads to a state is taken out of it.
        why: the reason that no host is asked, for the reader.
    """
    changed = alone(stack, head, environment, why)
    if not changed.ok:
        return changed
    before: Steps = {}
    # A stack that the change itself brings declares nothing before it.
    if (base / f"Pulumi.{stack}.yaml").exists():
        found = alone(stack, base, environment, why)
        if not found.ok:
            return replace(found, text=f"error: what this change is for fails by itself\n{found.text}")
        before = _states(found)
    after = _states(changed)
    counts, text = difference(_inputs(before), _inputs(after))
    return replace(changed, changes=counts, text=text, steps={"steps": list(_steps(before, after))})


def alone(stack: str, checkout: Path, environment: Mapping[str, str], why: str) -> preview.Preview:
    """Preview one checkout as if nothing had been deployed yet."""
    with tempfile.TemporaryDirectory(prefix="portcullis-") as scratch:
        project, state = Path(scratch, "project"), Path(scratch, "state")
        shutil.copytree(checkout, project, ignore=_LEFT_OUT, symlinks=True)
        state.mkdir()
        settings = project / f"Pulumi.{stack}.yaml"
        if not settings.exists():
            said = f"error: there is no {settings.name}\n"
            return preview.Preview(stack, ok=False, changes={}, text=said, steps={}, code_only=why)
        written = yaml.safe_load(settings.read_text()) or {}
        settings.write_text(yaml.safe_dump({"config": without_secrets(written.get("config") or {})}))
        own = {name: value for name, value in environment.items() if name not in _STATELY}
        own |= {"PULUMI_BACKEND_URL": state.as_uri(), "PULUMI_CONFIG_PASSPHRASE": PLACEHOLDER}
        secrets = [f"{path}={PLACEHOLDER}" for path in secret_paths(written.get("config") or {})]
        commands = [["stack", "init", stack]]
        if secrets:
            commands.append(
                ["config", "set-all", "--stack", stack, "--path", *(f"--secret={one}" for one in secrets)]
            )
        for command in commands:
            done = preview.run(command, project, own)
            if done.returncode:
                said = done.stdout + done.stderr
                return preview.Preview(stack, ok=False, changes={}, text=said, steps={}, code_only=why)
        _lend_venv(checkout, project)
        return preview.look(stack, folder=project, environment=own, code_only=why, judge=True)


def _lend_venv(checkout: Path, project: Path) -> None:
    """Let the copy use the virtual environment that is there: Pulumi.yaml names it."""
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
    """Yield where encrypted values are, as ``pulumi config set --path`` takes them."""
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
    """What is declared: the state that each resource would have, by URN."""
    states = [step.get("newState") or {} for step in one.steps.get("steps") or []]
    return {str(state["urn"]): state for state in states if state.get("urn")}


def _inputs(states: Steps) -> dict[str, Any]:
    return {urn: state.get("inputs") or {} for urn, state in states.items()}


def _steps(before: Steps, after: Steps) -> Iterator[dict[str, Any]]:
    """The steps from one to the other, as a preview with a state would have them."""
    for urn in sorted({*before, *after}):
        have, want = before.get(urn), after.get(urn)
        if have is None or want is None:
            operation = "create" if have is None else "delete"
        else:
            operation = "same" if have.get("inputs") == want.get("inputs") else "update"
        yield {"op": operation, "urn": urn, "oldState": have, "newState": want}


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, int], str]:
    """Return how many resources each operation has, and the differences as a text."""
    counts: dict[str, int] = {}
    blocks: list[str] = []
    for urn in sorted({*before, *after}):
        have, want = before.get(urn), after.get(urn)
        if have == want:
            continue
        operation = "create" if have is None else "delete" if want is None else "update"
        counts[operation] = counts.get(operation, 0) + 1
        sign = {"create": "+", "delete": "-", "update": "~"}[operation]
        kind, _, name = urn.rpartition("::")
        blocks.append(f"{sign} {kind.rpartition('$')[2].rpartition('::')[2]} {name}")
        lines = difflib.unified_diff(_lines(have), _lines(want), lineterm="", n=1)
        blocks += [f"{line[0]}   {line[1:]}" for line in list(lines)[2:] if not line.startswith("@@")]
    return counts, "\n".join(blocks)


def _lines(inputs: Any) -> list[str]:
    if not inputs:
        return []
    shown = {key: value for key, value in inputs.items() if not key.startswith("__")}
    text: str = yaml.safe_dump(
        json.loads(json.dumps(shown)), default_flow_style=False, width=160, allow_unicode=True
    )
    return text.splitlines()
