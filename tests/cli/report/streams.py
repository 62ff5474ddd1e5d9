"""Streams of the engine's events, as the engine prints them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from portcullis.cli.report import events
from portcullis.cli.report.differences import Report, collect
from portcullis.provider.changes import UNKNOWN

HOST = "urn:pulumi:prod::shop::portcullis:index:HardenedHost"
PARENT = f"{HOST}::web1"
PROVIDER = "urn:pulumi:prod::shop::pulumi:providers:docker::web1::0f"
CONTAINER = "docker:index/container:Container"
Props = Mapping[str, Any]


def urn(type_: str, name: str) -> str:
    return f"{HOST}${type_}::{name}"


def differs(old: Props, new: Props) -> dict[str, Any]:
    """Return a diff in the form of the engine's diff, down to the keys of maps."""
    found = {}
    for key in sorted({*old, *new}):
        have, want = old.get(key), new.get(key)
        if have == want:
            continue
        if isinstance(have, dict) and isinstance(want, dict):
            paths = [
                f'{key}["{name}"]' for name in sorted({*have, *want}) if have.get(name) != want.get(name)
            ]
        else:
            paths = [key]
        found |= {path: {"diffKind": "update", "inputDiff": True} for path in paths}
    return found


class Stream:
    """The engine's output of one run."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more: Props = {}

    def thing(  # noqa: PLR0917 - in the order in which they come
        self,
        type_: str,
        name: str,
        before: Props | None,
        live: Props | None,
        goal: Props | None,
        outputs: Props | None = None,
    ) -> Stream:
        """Add a resource with three states: after the last `up`, on the host, and declared.

        The argument `outputs` has outputs of all states that are no inputs.
        """
        self._more = outputs or {}
        if ":" not in type_:
            type_ = f"portcullis:index:{type_}"
            before, live, goal = (
                side if side is None else {"host": "web1", "managed_by": urn(type_, name), **side}
                for side in (before, live, goal)
            )
        if before is not None:
            self._steps("refresh", type_, name, before, live)
        op = "create" if live is None else "delete" if goal is None else "same" if live == goal else "update"
        if live is not None or goal is not None:
            self._steps(op, type_, name, live, goal)
        return self

    def _steps(self, op: str, type_: str, name: str, old: Props | None, new: Props | None) -> None:
        paths = None if None in (old, new) or old == new else differs(old or {}, new or {})
        begun = old if op == "refresh" else new
        self.event("resourcePreEvent", op, type_, name, old, begun, None if op == "refresh" else paths)
        self.event("resOutputsEvent", op, type_, name, old, new, paths)

    def event(  # noqa: PLR0917 - in the order in which the engine has them
        self, stage: str, op: str, type_: str, name: str, old: Props | None, new: Props | None, paths: Any
    ) -> Stream:
        def state(inputs: Props | None) -> Any:
            if inputs is None:
                return None
            return {
                "type": type_, "urn": urn(type_, name), "custom": True, "parent": PARENT, "id": "x",
                "provider": PROVIDER if type_.startswith("docker") else "",
                "inputs": inputs, "outputs": {**inputs, **self._more},
            }  # fmt: skip

        metadata = {
            "op": op, "urn": urn(type_, name), "type": type_, "old": state(old), "new": state(new),
            "detailedDiff": paths, "provider": "",
        }  # fmt: skip
        self.lines.append(json.dumps({"sequence": 1, "timestamp": 1, stage: {"metadata": metadata}}))
        return self

    def said(self, message: str, severity: str = "error", name: str = "") -> Stream:
        event = {"message": message, "severity": severity, "color": "never", "prefix": "error: "}
        if name:
            event["urn"] = urn("portcullis:index:File", name)
        self.lines.append(json.dumps({"diagnosticEvent": event}))
        return self

    def outputs(self, old: Props, new: Props) -> Stream:
        type_, stack = "pulumi:pulumi:Stack", "urn:pulumi:prod::shop::pulumi:pulumi:Stack::shop-prod"
        states = [
            {
                "type": type_,
                "urn": stack,
                "custom": False,
                "parent": "",
                "inputs": {},
                "outputs": side,
                "id": "",
            }
            for side in (old, new)
        ]
        metadata = {"op": "same", "urn": stack, "type": type_, "old": states[0], "new": states[1]}
        self.lines.append(json.dumps({"resOutputsEvent": {"metadata": metadata}}))
        return self

    def report(self, seconds: float = 8.0) -> Report:
        collector = collect(found for line in self.lines if (found := events.read(line)))
        return collector.report(seconds, failed='"severity": "error"' in "".join(self.lines))


def stopped(**container: Any) -> Stream:
    """Return the events of a preview of a host with a stopped app, which gets a new release.

    `container` changes the live container, as Docker's resource finds it.
    """
    stream, path = Stream(), "/etc/nginx/conf.d/shop.conf"
    release = {"app": "api", "container": "running"}
    stream.thing("Release", "api-release", release, {**release, "container": "exited 0"}, release)
    api = {"name": "api-2", "image": "x", "mustRun": True}
    live = {**api, "mustRun": False, **container}
    stream.event("resOutputsEvent", "refresh", CONTAINER, "api-container", api, live, differs(api, live))
    goal = {**api, "name": UNKNOWN}
    stream.event("resOutputsEvent", "replace", CONTAINER, "api-container", live, goal, differs(live, goal))
    state = {"item": "api", "container": "api-2", "container_id": "a", "status": "healthy"}
    goal = {**state, "container": UNKNOWN, "container_id": UNKNOWN}
    stream.thing("ContainerState", "api-state", state, {**state, "status": "exited 0"}, goal)
    site = {"path": path, "content": "server 172.17.0.1:28001;"}
    return stream.thing("File", "web1-shop", site, site, {**site, "content": UNKNOWN})


def drifted() -> Stream:
    """Return the events of a preview of a host that somebody changed by hand in many ways."""
    stream = Stream()
    key = "ssh-ed25519 AAAA"
    user = {"user": "deploy", "keys": {"laptop": key}, "on_delete": "keep"}
    stream.thing(
        "User", "web1-deploy", user, {**user, "keys": {"laptop": key, "evil": "ssh-ed25519 BBBB"}}, user
    )
    nobody: Props = {"users": {}, "files": {}, "undeclared": {}}
    found = {**nobody, "undeclared": {"/etc/sudoers.d/mallory": "mallory ALL=(ALL) NOPASSWD: ALL"}}
    stream.thing("Administrators", "web1-administrators", nobody, found, nobody)
    table = {
        "table": "table inet portcullis {}",
        "file": "x",
        "unit": "y",
        "boot": "enabled",
        "permissions": "ok",
    }
    stream.thing("ForwardFilter", "web1-filter", table, {**table, "table": "<absent>"}, table)
    ufw = {"enabled": True, "logging": "low", "defaults": {}, "rules": {"in 80/tcp": "allow"}}
    stream.thing(
        "UfwPolicy", "web1-ufw", ufw, {**ufw, "rules": {**ufw["rules"], "in 9200/tcp": "allow"}}, ufw
    )
    exposure: Props = {"listeners": {}, "published": {}, "passes": {}, "networks": {}}
    live = {
        **exposure,
        "passes": {"tcp4 9200": "anywhere", "tcp6 9200": "anywhere"},
        "published": {"tcp4 172.17.0.1:3306": 'container "leak"'},
    }
    stream.thing("Exposure", "web1-exposure", exposure, live, exposure)
    api = {"name": "api", "image": "x", "memory": 256, "envs": ["A=1"]}
    stream.thing(CONTAINER, "api-container", api, None, api)
    state = {"container": "api", "container_id": "a", "status": "healthy"}
    stream.thing(
        "ContainerState", "api-state", state, {**state, "status": "<absent>"}, {**state, "container_id": "b"}
    )
    unit = {"unit": "nginx.service", "active": "active", "enabled": "enabled", "reads": {}, "stale": False}
    stream.thing("Service", "web1-nginx", unit, {**unit, "active": "inactive"}, unit)
    return stream
