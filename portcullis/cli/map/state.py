"""Read the resources for the map from a stack's state, or from a preview. The functions do no I/O.

A secret in a state is an object with a ciphertext. This module never decrypts a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Json = dict[str, Any]

_OURS = "portcullis:index:"
# The engine's placeholder for a value that becomes known during `up`.
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_GONE = {"delete", "delete-replaced", "discard", "discard-replaced", "remove-pending-replace"}


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a state: its kind, such as `UfwPolicy`, its name, its properties and its parent."""

    urn: str
    kind: str
    name: str
    parent: str
    props: Mapping[str, Any]
    after: tuple[str, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def above(self) -> tuple[str, str, str]:
        """Kind and name of the parent, and the kind of the parent's own parent, read from the parent's URN.

        The output of a preview leaves out components, so this property cannot look up the parent.
        """
        head, _, name = self.parent.rpartition("::")
        kinds = [type_.rpartition(":")[2] for type_ in head.rpartition("::")[2].split("$")]
        return kinds[-1], name, kinds[-2] if len(kinds) > 1 else ""

    def text(self, key: str) -> str:
        """Return a property of type text, or "" if the value is unknown, secret, or no text."""
        value = self.props.get(key)
        return value if isinstance(value, str) and value != _UNKNOWN else ""

    def found(self, key: str) -> dict[str, Any]:
        """Return a property that our resource read from the host and that is an object.

        The outputs are searched before the other properties.
        """
        value = self.outputs.get(key)
        return value if isinstance(value, dict) and "ciphertext" not in value else self.mapping(key)

    def mapping(self, key: str) -> dict[str, Any]:
        """Return a property that is an object, or {} if the property is no object."""
        value = self.props.get(key)
        return value if isinstance(value, dict) and "ciphertext" not in value else {}


def of_export(export: Mapping[str, Any]) -> list[Resource]:
    """Return the resources in the output of `pulumi stack export`, without those that wait for deletion."""
    deployment = export.get("deployment") or export.get("checkpoint", {}).get("latest") or {}
    return [_resource(state) for state in deployment.get("resources", ()) if not state.get("delete")]


def time_of(export: Mapping[str, Any]) -> str:
    """Return the time when a state was written, to the minute, or "" if the state has no time."""
    deployment = export.get("deployment") or export.get("checkpoint", {}).get("latest") or {}
    written = re.match(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)", str((deployment.get("manifest") or {}).get("time")))
    return f"{written[1]} {written[2]} UTC" if written else ""


def of_preview(preview: Mapping[str, Any]) -> tuple[list[Resource], list[Resource]]:
    """Return the resources before and after a change, from the output of `pulumi preview --json`."""
    before: dict[str, Json] = {}
    after: dict[str, Json] = {}
    for step in preview.get("steps", ()):
        old, new, op = step.get("oldState"), step.get("newState"), step.get("op", "")
        urn = step.get("urn") or (new or old or {}).get("urn", "")
        if op == "refresh" and new:
            # This step shows the present state of the host. If the change affects the resource, another step
            # follows.
            before[urn], after[urn] = _found(old or new, new), new
            continue
        if old:
            before.setdefault(urn, old)
        if op in _GONE:
            # In a replacement the deletion may come last. The new resource exists all the same.
            if op == "delete":
                after.pop(urn, None)
        elif new:
            after[urn] = new
    return [_resource(state) for state in before.values()], [_resource(state) for state in after.values()]


def _found(old: Json, new: Json) -> Json:
    """Return a resource as a refresh found it on the host.

    If the refresh runs the Pulumi program (PULUMI_RUN_PROGRAM), the new inputs of a resource already contain
    the change. So for our own kinds we use the outputs, which come from the host. For other kinds we use the
    old inputs.
    """
    inputs = old.get("inputs") or {}
    if new.get("type", "").startswith(_OURS):
        outputs = new.get("outputs") or {}
        inputs = {key: outputs.get(key, value) for key, value in inputs.items()}
    return {**new, "inputs": inputs}


def _resource(state: Mapping[str, Any]) -> Resource:
    urn, type_ = state["urn"], state.get("type", "")
    # The outputs in a preview may be old. The inputs are as declared.
    props = {**(state.get("outputs") or {}), **_known(state.get("inputs") or {})}
    return Resource(
        urn=urn,
        kind=type_.rpartition(":")[2],
        name=urn.rpartition("::")[2],
        parent=state.get("parent", ""),
        props=props,
        after=tuple(state.get("dependencies") or ()),
        outputs=state.get("outputs") or {},
    )


def _known(inputs: Mapping[str, Any]) -> Json:
    return {key: value for key, value in inputs.items() if value not in (None, _UNKNOWN)}


def stack_of(resources: Iterable[Resource]) -> str:
    """Return the stack's name, from the first part of a URN."""
    return next((resource.urn.split("::")[0].rpartition(":")[2] for resource in resources), "")
