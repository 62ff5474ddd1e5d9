"""The engine's events, of which it streams one in each line, as typed data.

`PULUMI_ENABLE_STREAMING_JSON_PREVIEW=1 pulumi preview --json` and `pulumi up --json` print them. Their form
is `EngineEvent` in pulumi's sdk/go/common/apitype/events.go.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from portcullis.provider.changes import SECRET, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from portcullis.provider.changes import Path

_SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Marks a value as an asset, an archive or a secret."""
_SECRET_MARK = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the engine's word for one
_STAGES: Mapping[str, Stage] = {
    "resourcePreEvent": "begun",
    "resOutputsEvent": "done",
    "resOpFailedEvent": "failed",
}

Stage = Literal["begun", "done", "failed"]


@dataclass(frozen=True, slots=True)
class State:
    """A resource before or after a step, with a word in the place of each secret."""

    urn: str
    type: str
    custom: bool
    parent: str
    provider: str
    inputs: Mapping[str, Any] = field(repr=False)
    outputs: Mapping[str, Any] = field(repr=False)
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class EngineStep:
    """Something is done to a resource, or would be.

    Attributes:
        stage: whether it has begun, is done, or has failed.
        op: the engine's word: same, create, update, delete, replace, refresh, …
        urn: the resource's.
        type: such as portcullis:index:File.
        old: the resource before; None for a new one.
        new: the resource after; None where it is gone.
        paths: what differs; None where the engine does not tell.
    """

    stage: Stage
    op: str
    urn: str
    type: str
    old: State | None
    new: State | None
    paths: frozenset[Path] | None

    @property
    def state(self) -> State | None:
        """What is known of the resource."""
        return self.new or self.old


@dataclass(frozen=True, slots=True)
class Said:
    """A message: of the program, of a provider, or of the engine, whose messages have no URN."""

    severity: str
    message: str
    urn: str = ""


Event = EngineStep | Said


def read(line: str) -> Event | None:
    """Read one line that the engine printed; None where it says nothing that a report needs."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    for name, stage in _STAGES.items():
        if found := event.get(name):
            return step(stage, found.get("metadata") or {})
    return next((told(event[name]) for name, told in _TOLD.items() if event.get(name)), None)


def _policy(found: Mapping[str, Any]) -> Said:
    severity = "error" if found.get("enforcementLevel") == "mandatory" else "warning"
    return Said(severity, f"policy {found.get('policyName')}: {found.get('message')}")


_TOLD: Mapping[str, Callable[[Mapping[str, Any]], Said]] = {
    "diagnosticEvent": lambda found: Said(
        found.get("severity", ""), found.get("message", ""), found.get("urn", "")
    ),
    "policyEvent": _policy,
    "errorEvent": lambda found: Said("error", found.get("error", "")),
}


def step(stage: Stage, metadata: Mapping[str, Any]) -> EngineStep:
    """Return a step out of its metadata: operation, URN, both states, what differs."""
    paths = metadata.get("detailedDiff")
    return EngineStep(
        stage,
        metadata.get("op", ""),
        metadata.get("urn", ""),
        metadata.get("type", ""),
        _state(metadata.get("old")),
        _state(metadata.get("new")),
        None if paths is None else frozenset(map(path_of, paths)),
    )


def _state(raw: Mapping[str, Any] | None) -> State | None:
    if not raw:
        return None
    return State(
        raw.get("urn", ""),
        raw.get("type", ""),
        bool(raw.get("custom")),
        raw.get("parent", ""),
        raw.get("provider", ""),
        _without_secrets(raw.get("inputs") or {}),
        _without_secrets(raw.get("outputs") or {}),
        raw,
    )


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET_MARK:
            return SECRET
        # `__defaults` and such are the SDK's own.
        return {key: _without_secrets(item) for key, item in value.items() if not key.startswith("__")}
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value
