"""The docker provider.

The stand-in behaves like version 5.2.0 of the docker plugin for the resources in schema.py.
"""

from __future__ import annotations

import json
import random
import threading
from typing import TYPE_CHECKING, Any

from lab.plugins.diff import differences
from lab.plugins.docker_plugin import schema
from lab.plugins.docker_plugin.container import ContainerActions
from lab.plugins.docker_plugin.engine import Engine
from lab.plugins.docker_plugin.host import SshHost
from lab.plugins.docker_plugin.image import ImageActions
from lab.plugins.docker_plugin.kinds import TIMEOUTS, ResourceKind
from lab.plugins.docker_plugin.network import NetworkActions, refusal
from lab.plugins.docker_plugin.state import created, planned, refreshed, updated
from lab.plugins.docker_plugin.volume import VolumeActions
from lab.plugins.errors import (
    NotCoveredError,
    PartlyCreatedError,
    PluginError,
    ResourceError,
    one_error,
)
from lab.plugins.fields import Checker, Problem
from lab.plugins.inputs import read_inputs
from lab.plugins.plugin import Answer, Found
from lab.plugins.values import UNKNOWN, Properties, is_unknown

if TYPE_CHECKING:
    from lab.plugins.plugin import Log, Plugin, Target

_KINDS = {
    "docker:index/container:Container": ResourceKind(
        schema.CONTAINER,
        ContainerActions(),
        f'{{{TIMEOUTS},"schema_version":"2"}}',
        autonamed=True,
        delete_before_replace=True,
    ),
    "docker:index/network:Network": ResourceKind(
        schema.NETWORK, NetworkActions(), '{"schema_version":"1"}', autonamed=True, refusal=refusal
    ),
    "docker:index/volume:Volume": ResourceKind(
        schema.VOLUME, VolumeActions(), '{"schema_version":"1"}', autonamed=True
    ),
    "docker:index/remoteImage:RemoteImage": ResourceKind(
        schema.REMOTE_IMAGE, ImageActions(), f"{{{TIMEOUTS}}}"
    ),
}


class DockerPlugin:
    """The docker provider. `Plugin` describes its methods."""

    package = "docker"
    version = "5.2.0"
    no_handshake = "method Handshake not implemented"
    no_diff_config = ""
    handshake: dict[str, bool] = {}  # noqa: RUF012 - never changed
    configured = {"supportsPreview": True, "supports_autonaming_configuration": True}  # noqa: RUF012

    def __init__(self, log: Log) -> None:
        """Make a provider that is not configured yet."""
        del log
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        """Return the configured engine.

        Raises:
            PluginError: Configure has not been called, or the host is not known yet.
        """
        if self._engine is None:
            message = "the docker provider has no host yet"
            raise PluginError(message)
        return self._engine

    def check_config(self, news: Properties) -> tuple[Properties, list[Problem]]:
        """Settings of the provider; lists come as JSON texts and go back as compact ones."""
        plain = {key: _parsed(value) if key == "sshOpts" else value for key, value in news.items()}
        inputs, problems = Checker(self.package, marks_defaults=False).check(schema.PROVIDER, plain)
        if "sshOpts" in inputs and not is_unknown(inputs["sshOpts"]):
            inputs["sshOpts"] = json.dumps(inputs["sshOpts"], separators=(",", ":"), ensure_ascii=False)
        if "host" not in inputs:
            problems.append(
                ("host", "the docker plugin's stand-in needs host='ssh://…' (docs/plugin-stand-ins.md)")
            )
        return inputs, problems

    def configure(self, args: Properties) -> None:
        """Store the address of the Docker engine's host.

        The first request to the Docker engine opens the connection.
        """
        host = args.get("host", "")
        if not is_unknown(host):
            self._engine = Engine(SshHost.parse(host, _parsed(args.get("sshOpts", "[]"))))

    def check(self, target: Target, olds: Properties, news: Properties) -> tuple[Properties, list[Problem]]:
        """Return the checked inputs with their defaults. If the inputs have no name, add a random one."""
        kind = self._kind(target, news)
        named = self._autoname(target, olds, news) if kind.autonamed and news.get("name") is None else ""
        inputs, problems = Checker(self.package, marks_defaults=True).check(
            kind.fields, news | ({"name": named} if named else {})
        )
        if named:
            inputs["__defaults"] = sorted([*inputs["__defaults"], "name"])
        return inputs, problems

    @staticmethod
    def _autoname(target: Target, olds: Properties, news: Properties) -> str:
        del news
        if "name" in olds.get("__defaults", []):
            return str(olds["name"])
        return f"{target.name}-{random.getrandbits(28):07x}"

    def diff(self, target: Target, olds: Properties, news: Properties) -> Answer:
        """Return the differences, and whether they can change in place."""
        kind = self._kind(target, news)
        named_by_user = kind.autonamed and "name" not in news.get("__defaults", [])
        return Answer(
            differences(kind.fields, olds, news),
            sorted(key for key, known in kind.fields.items() if known.replaces),
            delete_before_replace=kind.delete_before_replace or named_by_user,
            repeats=True,
        )

    def create(self, target: Target, inputs: Properties, *, preview: bool) -> tuple[str, Properties]:
        """Make it and read it back."""
        kind = self._kind(target, inputs)
        if preview:
            state = planned(kind.fields, inputs, unknowns=True)
            return "", state | _planned_meta(kind, inputs) | {"id": UNKNOWN}
        try:
            id_, facts = kind.actions.create(self.engine, inputs)
        except PartlyCreatedError as error:
            error.state = self._whole(kind, error.id, error.state)
            raise
        return id_, self._whole(kind, id_, created(kind.fields, inputs, facts))

    def read(self, target: Target, state: Properties, inputs: Properties) -> Found | None:
        """What is there now; None when it is gone."""
        kind = self._kind(target, state)
        if not state:
            raise NotCoveredError(
                self.package,
                f"the lab's stand-in does not support the import of existing resources ({target.type})",
            )
        try:
            found = kind.actions.read(self.engine, target.id, state)
        except PluginError as error:
            raise ResourceError(one_error(str(error))) from None
        if found is None:
            return None
        id_, facts = found
        after = refreshed(kind.fields, state, facts)
        return Found(id_, self._whole(kind, id_, after), read_inputs(kind.fields, inputs, after))

    def update(self, target: Target, olds: Properties, news: Properties, *, preview: bool) -> Properties:
        """Change it in place."""
        kind = self._kind(target, news)
        changed = {difference.top for difference in differences(kind.fields, olds, news)}
        if not preview:
            kind.actions.update(self.engine, target.id, olds, news)
        state = self._whole(kind, target.id, updated(kind.fields, olds, news, changed))
        return state | _planned_meta(kind, {}) if preview else state

    def delete(self, target: Target, state: Properties) -> None:
        """Remove the Docker object of a resource."""
        self._kind(target, state).actions.delete(self.engine, target.id, state)

    def close(self) -> None:
        """Close the connections to the host."""
        if self._engine is not None:
            self._engine.close()

    def _kind(self, target: Target, properties: Properties) -> ResourceKind:
        kind = _KINDS.get(target.type)
        if kind is None:
            raise NotCoveredError(
                self.package,
                f"the lab's stand-in does not support resources of type {target.type} ({target.name})",
            )
        if kind.refusal is not None and (what := kind.refusal(properties)):
            raise NotCoveredError(self.package, f"the lab's stand-in does not support {what} ({target.name})")
        return kind

    @staticmethod
    def _whole(kind: ResourceKind, id_: str, state: Properties) -> Properties:
        return state | {"__meta": kind.meta} | ({"id": id_} if id_ else {})


def _planned_meta(kind: ResourceKind, inputs: Properties) -> Properties:
    """What Terraform's SDK notes of a plan: no version, and the addresses that its provider spells anew.

    A change in place spells none, because new ports replace the container.
    """
    noted = {key: value for key, value in json.loads(kind.meta).items() if key != "schema_version"}
    if not noted:
        return {}
    ports = enumerate(inputs.get("ports") or [])
    spelled = {f"ports.{index}.ip": port["ip"] for index, port in ports if not is_unknown(port.get("ip"))}
    return {"__meta": json.dumps({"_new_extra_shim": spelled} | noted, separators=(",", ":"))}


def _parsed(value: Any) -> Any:
    if not isinstance(value, str) or is_unknown(value):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def plugin(log: Log) -> Plugin:
    """Return the stand-in for the docker plugin. The stand-in shows messages to the user with `log`."""
    return DockerPlugin(log)
