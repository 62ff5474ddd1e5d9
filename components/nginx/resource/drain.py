"""A wait until nginx sends no more requests to former upstreams."""

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
    instead_of_import = "a drain leaves nothing on the host to import: declare the resource"

    def normalise(self, inputs: Normaliser) -> None:
        """Check the inputs, and keep the upstreams as given."""
        inputs.text("service")
        inputs.text("reads")
        inputs.text("seconds")
        inputs.keep("upstreams")

    def absent_inputs(self) -> Props:
        """Return nothing: a drain only waits, so nobody can change it on the host."""
        return {}

    def lines(self, change: Change) -> list[Line]:
        """Mark the lines of the report as consequences, because a drain only follows another change."""
        return [replace(line, follows=True) for line in super().lines(change)]


class Drain(HostResource):
    """The time that running requests get to finish after nginx has changed to new upstreams.

    The drain comes after nginx's reload. When an upstream has changed, the drain waits until nginx's former
    workers have exited. After the drain, the deploy removes former containers.
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
        """Declare the drain.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            upstreams: where requests go, by host name and path. Any change of this map starts the wait.
            seconds: the longest wait. A request that takes longer, such as a WebSocket, is cut off.
            service: nginx's unit.
            reads: nginx's configuration. A worker that started before the last change of this path is a
                former worker.
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
