"""Reads the recorded calls of the official plugins."""

from __future__ import annotations

import functools
import json
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recordings"
FILES = tuple(sorted(path.stem for path in FOLDER.glob("*.jsonl")))
TOTAL = 374  # the sum of the files: a call that is dropped or not compared fails a test
# The files are in the order in which the calls were made on the host.
LAB_FILES = (
    "lab-2-change-preview",
    "lab-3-change-up",
    "lab-4-same",
    "lab-5-drift-preview",
    "lab-6-drift-up",
    "lab-7-destroy",
    "lab-0-create",
    "lab-1-created-preview",
)
LAB_TOTAL = 514
_CONTAINER = "docker:index/container:Container"
_KEYS = {
    "privateKeyPem": "<PRIVATE KEY PEM>",
    "privateKeyPemPkcs8": "<PRIVATE KEY PEM>",
    "privateKeyOpenssh": "<OPENSSH PRIVATE KEY PEM>",
}


@dataclass(frozen=True)
class Call:
    """One recorded call: `place` is FILE:LINE, and `errors` has the official error texts."""

    place: str
    package: str
    method: str
    request: dict[str, Any]
    response: dict[str, Any] | None
    errors: tuple[str, ...]

    @property
    def urn(self) -> str:
        """The URN of the call's resource, or the empty text."""
        return str(self.request.get("urn", ""))

    @property
    def type(self) -> str:
        """The type token of the call's resource."""
        return str(self.request.get("type", ""))

    @property
    def on_host(self) -> bool:
        """Whether a Docker engine has to answer the call."""
        asks = self.method in ("Create", "Read", "Update", "Delete", "Invoke")
        return self.package == "docker" and asks and not self.request.get("preview")

    def __str__(self) -> str:
        what = self.urn.split("::")[-1] or self.request.get("tok", "")
        return f"{self.place} {self.package} {self.method} {what}"


def calls(file: str) -> list[Call]:
    """Return all calls of a file, in order."""
    if file in LAB_FILES:
        return _calls(file, _lab()[file])
    text = (FOLDER / f"{file}.jsonl").read_text(encoding="utf-8")
    return [_as_newer(call) for call in _calls(file, text)]


def _calls(file: str, text: str) -> list[Call]:
    return [
        Call(
            f"{file}:{number}",
            call["package"],
            call["method"],
            _with_kinds_of_keys(call["request"]),
            _with_kinds_of_keys(call["response"]),
            tuple(call.get("errors") or ()),
        )
        for number, call in enumerate(map(json.loads, text.splitlines()), 1)
    ]


@functools.cache
def _lab() -> dict[str, str]:
    with tarfile.open(FOLDER / "lab.tar.xz") as archive:
        found = {}
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            found[member.name.removesuffix(".jsonl")] = content.read().decode()
    return found


def _as_newer(call: Call) -> Call:
    """Return a call of the older recordings with the answer of docker 5.2.0.

    The older recordings name version 5.2.0 but behave like 5.1.1, which differs in two ways. Version 5.1.1
    has no `deviceCgroupRules`, and a changed health check replaces no container.
    """
    if call.type != _CONTAINER:
        return call
    request, response = dict(call.request), dict(call.response or {})
    for message, value in ((request, None), (response, [] if call.method == "Read" else None)):
        # A whole state has all properties, but inputs have only the properties that are set.
        if "containerLogs" in message.get("properties", {}):
            message["properties"] = {**message["properties"], "deviceCgroupRules": value}
    if "stables" in response:
        response["stables"] = [*response["stables"], "deviceCgroupRules", "healthcheck"]
    return replace(call, request=request, response=None if call.response is None else response)


def _with_kinds_of_keys(value: Any, name: str = "") -> Any:
    """Replace `<private key>`, which the lab's recordings have for every key, by the kind of the key."""
    if isinstance(value, dict):
        return {
            key: _with_kinds_of_keys(item, name if key == "value" else key) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_with_kinds_of_keys(item, name) for item in value]
    return _KEYS[name] if value == "<private key>" else value
