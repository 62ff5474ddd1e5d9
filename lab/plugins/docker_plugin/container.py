"""The resource docker:index/container:Container."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lab.plugins.docker_plugin.container_config import create_body, endpoint, swap_bytes
from lab.plugins.docker_plugin.container_facts import facts
from lab.plugins.docker_plugin.engine import EngineError, daemon_errors
from lab.plugins.docker_plugin.image import find_image
from lab.plugins.docker_plugin.schema import CONTAINER
from lab.plugins.docker_plugin.state import planned
from lab.plugins.errors import PartlyCreatedError, PluginError, ResourceError, one_error

if TYPE_CHECKING:
    from lab.plugins.docker_plugin.engine import Engine
    from lab.plugins.values import Properties

_HEALTH_POLL_SECONDS = 1.0
_EARLY_END_SECONDS = 0.5
_MEBIBYTE = 1024 * 1024
_UPDATABLE = ("restart", "maxRetryCount", "cpuShares", "memory", "memoryReservation", "cpuSet", "memorySwap")


class ContainerActions:
    """Creates, reads, updates and removes containers."""

    def create(self, engine: Engine, inputs: Properties) -> tuple[str, Properties]:
        """Create a container, join the networks, start it, and wait for the health check if `wait` is set.

        Raises:
            PluginError: nothing was created.
            PartlyCreatedError: the container exists, but a later step failed.
        """
        image = inputs["image"]
        try:
            find_image(engine, image)
        except PluginError as error:
            raise PluginError(one_error(f"Unable to create container with image {image}: {error}")) from None
        if "" in inputs.get("command", []):
            raise PluginError(one_error("values for command may not be empty"))
        try:
            with daemon_errors("Unable to create container"):
                made = engine.client.create_container_from_config(
                    create_body(inputs), inputs["name"], inputs.get("platform")
                )
        except PluginError as error:
            raise PluginError(one_error(str(error))) from None
        id_ = made["Id"]
        try:
            self._bring_up(engine, id_, inputs)
            with daemon_errors():
                found = engine.client.inspect_container(id_)
        except PluginError as error:
            state = planned(CONTAINER, inputs) | {"id": id_}
            raise PartlyCreatedError(one_error(str(error)), id_, state) from None
        return id_, facts(found, planned(CONTAINER, inputs))

    def _bring_up(self, engine: Engine, id_: str, inputs: Properties) -> None:
        networks = inputs.get("networksAdvanced", [])
        if networks:
            self._leave_default(engine, id_)
        for network in networks:
            with daemon_errors(f"Unable to connect to network '{network['name']}'"):
                engine.client.connect_container_to_network(id_, network["name"], **endpoint(network))
        if inputs.get("start"):
            with daemon_errors("Unable to start container"):
                engine.client.start(id_)
            if inputs.get("wait"):
                self._wait_healthy(engine, id_, inputs.get("waitTimeout", 60))
            else:
                self._see_early_end(engine, id_)

    @staticmethod
    def _leave_default(engine: Engine, id_: str) -> None:
        try:
            with daemon_errors():
                engine.client.disconnect_container_from_network(id_, "bridge")
        except PluginError as error:
            if "is not connected to" not in str(error):
                message = f"Unable to disconnect the default network: {error}"
                raise PluginError(message) from None

    @staticmethod
    def _see_early_end(engine: Engine, id_: str) -> None:
        """Wait a moment, because a container may end at once.

        The official plugin takes so long that it notices such an early end.
        """
        end = time.monotonic() + _EARLY_END_SECONDS
        while time.monotonic() < end:
            with daemon_errors():
                if not engine.client.inspect_container(id_)["State"]["Running"]:
                    return
            time.sleep(_EARLY_END_SECONDS / 5)

    @staticmethod
    def _wait_healthy(engine: Engine, id_: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            with daemon_errors("error inspecting container state"):
                state = engine.client.inspect_container(id_)["State"]
            if "Health" not in state:
                message = (
                    "you have supplied a 'wait' argument, but the container does not have a healthcheck "
                    "defined. Please remove the 'wait' argument or add a 'healthcheck' attribute"
                )
                raise PluginError(message)
            if state["Health"]["Status"] == "healthy":
                return
            if time.monotonic() >= end:
                message = "container failed to be in healthy state"
                raise PluginError(message)
            time.sleep(_HEALTH_POLL_SECONDS)

    def read(self, engine: Engine, id_: str, stored: Properties) -> tuple[str, Properties] | None:
        """Read the facts of the container.

        If it must run but is stopped, `mustRun` is false, which shows as drift.
        """
        try:
            with daemon_errors():
                found: dict[str, Any] = engine.client.inspect_container(id_)
        except EngineError as error:
            if error.not_found:
                return None
            raise
        return id_, facts(found, stored)

    def update(self, engine: Engine, id_: str, stored: Properties, inputs: Properties) -> None:
        """Start a stopped container, or change its limits. Like the official plugin, ignore other changes."""
        after = planned(CONTAINER, inputs)
        if after["mustRun"] and not stored.get("mustRun") and after["start"]:
            with daemon_errors("Unable to start container", after=_Failed):
                engine.client.start(id_)
        if any((after[key] or 0) != (stored.get(key) or 0) for key in _UPDATABLE):
            limits = {
                "cpu_shares": after["cpuShares"],
                "cpuset_cpus": after["cpuSet"],
                "mem_limit": (after["memory"] or 0) * _MEBIBYTE or None,
                "mem_reservation": (after["memoryReservation"] or 0) * _MEBIBYTE or None,
                "memswap_limit": swap_bytes(after["memorySwap"] or 0) or None,
                "restart_policy": {
                    "Name": after["restart"],
                    "MaximumRetryCount": after["maxRetryCount"] or 0,
                },
            }
            with daemon_errors("Unable to update a container", after=_Failed):
                engine.client.update_container(
                    id_, **{key: value for key, value in limits.items() if value is not None}
                )

    def delete(self, engine: Engine, id_: str, stored: Properties) -> None:
        """Stop the container and remove it.

        Like the official plugin, give the container no time to stop unless the program sets a time.
        """
        self._ignoring_gone(
            f"Error stopping container {id_}",
            lambda: engine.client.stop(id_, timeout=stored.get("destroyGraceSeconds") or 0),
        )
        self._ignoring_gone(
            f"Error deleting container {id_}",
            lambda: engine.client.remove_container(id_, v=bool(stored.get("removeVolumes")), force=True),
        )

    @staticmethod
    def _ignoring_gone(doing: str, action: Any) -> None:
        try:
            with daemon_errors():
                action()
        except PluginError as error:
            if "No such container" not in str(error) and "is already in progress" not in str(error):
                raise _Failed(f"{doing}: {error}") from None


class _Failed(ResourceError):
    """An error about an existing container, in the form in which Terraform's SDK lists errors."""

    def __init__(self, message: str) -> None:
        super().__init__(one_error(message))
