"""Which Docker somebody else's engine is, and whether we can do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from portcullis.components.docker import versions
from portcullis.components.docker.facts import EngineDesired, EngineFacts
from portcullis.host.provider import HostProvider, Normaliser
from portcullis.host.resource import HostResource
from portcullis.provider.changes import STAYS, Line, Section, Severity

if TYPE_CHECKING:
    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change


class EngineVersionProvider(HostProvider):
    """Provider of `EngineVersion`."""

    kind = "docker"
    section = Section.SITES
    desired_type = EngineDesired
    facts_type = EngineFacts
    live = ("unusable",)
    identity = ("host", "asks")
    instead_of_import = "it only reads: declare it"
    chosen = ("version",)

    def normalise(self, inputs: Normaliser) -> None:
        """Take the versions over; what is declared is an engine that will do."""
        for name in ("asks", "engine", "api_from", "api_to", "client"):
            inputs.text(name)
        inputs.inputs["unusable"] = ""

    def absent_inputs(self) -> Props:
        """Return nothing: there is always an answer."""
        return {}

    def subject(self, change: Change) -> str:
        """Return the engine."""
        return "Docker"

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Say why it will not do."""
        why = change.live.get("unusable")
        if not why:
            return super().differing(change, subject)
        return [Line(subject, str(why), STAYS, Severity.WRONG, at=("unusable",))]


class EngineVersion(HostResource):
    """An engine that somebody else looks after, and that our client can talk to. Read only.

    An `up` stops with a clear word where it is too old, too new, or not there; else the docker provider would
    end in an error of its protocol.

    Attributes:
        version: the version of the engine.
    """

    version: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        engine: str = versions.OLDEST,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare that it will do.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            engine: the oldest version that will do.
            opts: resource options.
        """
        client = versions.CLIENT
        super().__init__(
            EngineVersionProvider,
            name,
            host=host,
            adopt=False,
            inputs={
                "asks": f"{pulumi.get_project()}/{pulumi.get_stack()}/{name}",
                "engine": engine,
                "api_from": client.api_from,
                "api_to": client.api_to,
                "client": client.name,
            },
            outputs=("version",),
            opts=opts,
        )
