"""The resource docker:index/network:Network."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lab.plugins.docker_plugin.engine import EngineError, daemon_errors
from lab.plugins.errors import PluginError, ResourceError, one_error
from lab.plugins.values import is_unknown

if TYPE_CHECKING:
    from lab.plugins.docker_plugin.engine import Engine
    from lab.plugins.values import Properties

_REMOVE_SECONDS = 30.0
_REMOVE_POLL_SECONDS = 1.0


_DRIVERS = ("bridge", "")


def refusal(properties: Properties) -> str:
    """Return why the stand-in refuses a network.

    The stand-in supports the drivers `bridge` and `overlay`. The result is "" if it supports the network.
    """
    driver = properties.get("driver") or ""
    return "" if driver in _DRIVERS or is_unknown(driver) else f"networks of driver {driver}"


class NetworkActions:
    """Creates, reads and removes networks; nothing of one changes in place."""

    def create(self, engine: Engine, inputs: Properties) -> tuple[str, Properties]:
        """Create and read back."""
        pools = [
            {
                "Subnet": pool.get("subnet", ""),
                "IPRange": pool.get("ipRange", ""),
                "Gateway": pool.get("gateway", ""),
            }
            for pool in inputs.get("ipamConfigs", [])
        ]
        try:
            with daemon_errors("Unable to create network"):
                made = engine.client.create_network(
                    inputs["name"],
                    driver=inputs.get("driver"),
                    options=inputs.get("options"),
                    ipam={"Driver": inputs["ipamDriver"], "Config": pools},
                    internal=inputs.get("internal", False),
                    labels={entry["label"]: entry["value"] for entry in inputs.get("labels", [])},
                    enable_ipv6=inputs.get("ipv6", False),
                    attachable=inputs.get("attachable"),
                )
        except PluginError as error:
            raise PluginError(one_error(str(error))) from None
        found = self.read(engine, made["Id"], inputs)
        if found is None:
            message = f"network {inputs['name']} vanished right after its creation"
            raise PluginError(one_error(message))
        return found

    def read(self, engine: Engine, id_: str, stored: Properties) -> tuple[str, Properties] | None:
        """Read the facts of the network."""
        del stored
        try:
            with daemon_errors():
                found = engine.client.inspect_network(id_)
        except EngineError as error:
            if error.not_found:
                return None
            raise
        return id_, _facts(found)

    def update(self, engine: Engine, id_: str, stored: Properties, inputs: Properties) -> None:
        """Do nothing, because a network never changes in place."""

    def delete(self, engine: Engine, id_: str, stored: Properties) -> None:
        """Remove the network. Wait a while for containers that are leaving it."""
        del stored
        end = time.monotonic() + _REMOVE_SECONDS
        while True:
            try:
                with daemon_errors():
                    engine.client.remove_network(id_)
            except EngineError as error:
                if error.not_found:
                    return
                if "has active endpoints" not in str(error) or time.monotonic() >= end:
                    raise ResourceError(one_error(str(error))) from None
                time.sleep(_REMOVE_POLL_SECONDS)
            else:
                return


def _facts(found: dict[str, Any]) -> Properties:
    return {
        "attachable": found["Attachable"],
        "driver": found["Driver"],
        "ingress": found["Ingress"],
        "internal": found["Internal"],
        "ipamConfigs": _ipam_configs(found),
        "ipamDriver": found["IPAM"]["Driver"],
        "ipamOptions": found["IPAM"]["Options"] or {},
        "ipv6": found["EnableIPv6"],
        "labels": [{"label": key, "value": value} for key, value in sorted((found["Labels"] or {}).items())],
        "name": found["Name"],
        "options": found["Options"] or {},
        "scope": found["Scope"],
    }


def _ipam_configs(found: dict[str, Any]) -> list[Properties]:
    """Return the address pools of a network."""
    return [
        {
            "auxAddress": pool.get("AuxiliaryAddresses") or {},
            "gateway": pool.get("Gateway", ""),
            "ipRange": pool.get("IPRange", ""),
            "subnet": pool.get("Subnet", ""),
        }
        for pool in found["IPAM"]["Config"] or []
    ]
