"""Waiting until nginx sends nobody to the upstreams of before."""

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
    instead_of_import = "nothing of it stands on the host before it: declare it"

    def normalise(self, inputs: Normaliser) -> None:
        """Take over where requests go."""
        inputs.text("service")
        inputs.text("reads")
        inputs.text("seconds")
        inputs.keep("upstreams")

    def absent_inputs(self) -> Props:
        """Return nothing: nothing of this can drift."""
        return {}

    def lines(self, change: Change) -> list[Line]:
        """Say nothing that stands by itself: it waits for what another change began."""
        return [replace(line, follows=True) for line in super().lines(change)]


class Drain(HostResource):
    """The time that requests under way are given after nginx turned to other upstreams.

    It comes after nginx's reload. When an upstream changed, it waits until the workers of before have ended;
    the deployment takes former containers away only after that.
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
            upstreams: where requests go, by host name.
            seconds: how long they are waited for, at most; a WebSocket that is still open is cut off then.
            service: nginx's unit.
            reads: its configuration, whose last change is what workers may be older than.
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
