"""The host resource that reads a Docker engine: whether we can use it, and what the host allows it."""

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
    instead_of_import = "declare the resource instead; it only checks the host"
    chosen = ("version", "open_files")

    def normalise(self, inputs: Normaliser) -> None:
        """Check the inputs. The declared state is an engine that can be used."""
        for name in ("asks", "engine", "api_from", "api_to", "client"):
            inputs.text(name)
        inputs.inputs["unusable"] = ""

    def absent_inputs(self) -> Props:
        """Return no inputs, because this resource always exists."""
        return {}

    def subject(self, change: Change) -> str:
        """Return the name of the engine for reports."""
        return "Docker"

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Return a line that says why the engine cannot be used."""
        why = change.live.get("unusable")
        if not why:
            return super().differing(change, subject)
        remedy = f"{STAYS}, unless this stack starts docker.service"
        return [Line(subject, str(why), remedy, Severity.WRONG, at=("unusable",))]


class EngineVersion(HostResource):
    """Reads a Docker engine, and changes nothing on the host.

    `up` stops with a clear error if the engine is too old, too new or not running. Without this check, the
    docker provider would fail with a protocol error.

    Attributes:
        version: the version of the engine.
        open_files: how many files a process of the host may open at most, or 0 if the host does not tell it.
    """

    version: pulumi.Output[str]
    open_files: pulumi.Output[int]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        engine: str = versions.OLDEST,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare that the engine can be used.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            engine: the oldest version of Docker that is accepted.
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
            outputs=("version", "open_files"),
            opts=opts,
        )
