"""The events of Pulumi's engine as typed data. Pulumi's engine prints one event on each line.

`PULUMI_ENABLE_STREAMING_JSON_PREVIEW=1 pulumi preview --json` and `pulumi up --json` print these events. The
events' format is `EngineEvent` in pulumi's sdk/go/common/apitype/events.go.
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
"""The key that marks a map as an asset, an archive or a secret."""
_SECRET_MARK = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the engine's mark of a secret
_STAGES: Mapping[str, Stage] = {
    "resourcePreEvent": "begun",
    "resOutputsEvent": "done",
    "resOpFailedEvent": "failed",
}

Stage = Literal["begun", "done", "failed"]


@dataclass(frozen=True, slots=True)
class State:
    """A resource before or after a step. A placeholder replaces each secret."""

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
    """One operation on a resource, done or previewed.

    Attributes:
        stage: whether the step has begun, is done, or has failed.
        op: the name that Pulumi's engine gives the operation, such as same, create, replace or refresh.
        urn: the resource's URN.
        type: the resource's type, such as portcullis:index:File.
        old: the resource before the step; None for a new resource.
        new: the resource after the step; None for a deleted resource.
        paths: the properties that differ; None if Pulumi's engine does not report them.
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
        """The resource after the step, or before the step for a deleted resource."""
        return self.new or self.old


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the Pulumi program, a provider, or Pulumi's engine.

    Messages of Pulumi's engine have no URN.
    """

    severity: str
    text: str
    urn: str = ""


Event = EngineStep | Message


def read(line: str) -> Event | None:
    """Return the event on one line of the output of Pulumi's engine, or None if no report needs it."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    for name, stage in _STAGES.items():
        if found := event.get(name):
            return step(stage, found.get("metadata") or {})
    return next((message(event[name]) for name, message in _MESSAGES.items() if event.get(name)), None)


def _policy(found: Mapping[str, Any]) -> Message:
    severity = "error" if found.get("enforcementLevel") == "mandatory" else "warning"
    return Message(severity, f"policy {found.get('policyName')}: {found.get('message')}")


_MESSAGES: Mapping[str, Callable[[Mapping[str, Any]], Message]] = {
    "diagnosticEvent": lambda found: Message(
        found.get("severity", ""), found.get("message", ""), found.get("urn", "")
    ),
    "policyEvent": _policy,
    "errorEvent": lambda found: Message("error", found.get("error", "")),
}


def step(stage: Stage, metadata: Mapping[str, Any]) -> EngineStep:
    """Return the step that an event's metadata describes."""
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
        # Keys such as `__defaults` are internal to the SDK.
        return {key: _without_secrets(item) for key, item in value.items() if not key.startswith("__")}
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value
