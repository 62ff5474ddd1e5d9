"""The resource docker:index/volume:Volume."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lab.plugins.docker_plugin.engine import EngineError, daemon_errors
from lab.plugins.errors import PluginError, ResourceError, one_error

if TYPE_CHECKING:
    from lab.plugins.docker_plugin.engine import Engine
    from lab.plugins.values import Properties

_REMOVE_SECONDS = 30.0
_REMOVE_POLL_SECONDS = 1.0


class VolumeActions:
    """Creates, reads and removes volumes. A volume never changes in place."""

    def create(self, engine: Engine, inputs: Properties) -> tuple[str, Properties]:
        """Create a volume and read it. Like the official plugin, use an existing volume of that name."""
        try:
            with daemon_errors("Unable to create volume"):
                made = engine.client.create_volume(
                    inputs.get("name"),
                    driver=inputs.get("driver"),
                    driver_opts=inputs.get("driverOpts"),
                    labels={entry["label"]: entry["value"] for entry in inputs.get("labels", [])},
                )
        except PluginError as error:
            raise PluginError(one_error(str(error))) from None
        found = self.read(engine, made["Name"], inputs)
        if found is None:
            message = f"volume {made['Name']} vanished right after its creation"
            raise PluginError(one_error(message))
        return found

    def read(self, engine: Engine, id_: str, stored: Properties) -> tuple[str, Properties] | None:
        """Read the facts of the volume."""
        del stored
        try:
            with daemon_errors():
                found = engine.client.inspect_volume(id_)
        except EngineError as error:
            if error.not_found:
                return None
            raise
        return found["Name"], {
            "driver": found["Driver"],
            "driverOpts": found["Options"] or {},
            "labels": [
                {"label": key, "value": value} for key, value in sorted((found["Labels"] or {}).items())
            ],
            "mountpoint": found["Mountpoint"],
            "name": found["Name"],
        }

    def update(self, engine: Engine, id_: str, stored: Properties, inputs: Properties) -> None:
        """Do nothing, because a volume never changes in place."""

    def delete(self, engine: Engine, id_: str, stored: Properties) -> None:
        """Remove the volume. Wait a while for a container that is still using it."""
        del stored
        end = time.monotonic() + _REMOVE_SECONDS
        while True:
            try:
                with daemon_errors():
                    engine.client.remove_volume(id_)
            except EngineError as error:
                if error.not_found:
                    return
                if "volume is in use" not in str(error) or time.monotonic() >= end:
                    raise ResourceError(one_error(str(error))) from None
                time.sleep(_REMOVE_POLL_SECONDS)
            else:
                return
