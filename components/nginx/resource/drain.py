"""Waiting until nginx sends no more requests to former upstreams."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portcullis.components.nginx.facts import DrainDesired, DrainFacts
from portcullis.host.provider import HostProvider, Normaliser
from portcullis.host.resource import HostResource
from portcullis.provider.changes import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change, Line


class DrainProvider(HostProvider):
    """Provider of `Drain`."""

    kind = "nginx.drains"
    section = Section.SITES
    desired_type = DrainDesired
    facts_type = DrainFacts
    identity = ("host", "service")
    instead_of_import = "it leaves nothing on the host to import: declare it"

    def normalise(self, inputs: Normaliser) -> None:
        """Take over the upstreams, and check the other inputs."""
        inputs.text("service")
        inputs.text("reads")
        inputs.text("seconds")
        inputs.keep("upstreams")

    def absent_inputs(self) -> Props:
        """Return nothing: a drain cannot drift."""
        return {}

    def lines(self, change: Change) -> list[Line]:
        """Mark the lines as consequences: a drain waits for the end of what another change began."""
        return [replace(line, follows=True) for line in super().lines(change)]


class Drain(HostResource):
    """The time that running requests get to finish after nginx has turned to other upstreams.

    It comes after nginx's reload. When an upstream has changed, it waits until nginx's former workers have
    exited. Only after that does the deploy remove former containers.
    """

    upstreams: pulumi.Output[Mapping[str, str]]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        upstreams: Mapping[str, pulumi.Input[str]],
        seconds: int = 60,
        service: str = "nginx.service",
        reads: str = "/etc/nginx",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare it.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            upstreams: where requests go, by host name and path. Any change starts the wait.
            seconds: the longest wait. A request that takes longer, such as a WebSocket, is cut off then.
            service: nginx's unit.
            reads: nginx's configuration. Workers older than its last change are former workers.
            opts: resource options.
        """
        super().__init__(
            DrainProvider,
            name,
            host=host,
            adopt=False,
            inputs={
                "upstreams": dict(upstreams),
                "seconds": str(seconds),
                "service": service,
                "reads": reads,
            },
            outputs=(),
            opts=opts,
        )
