"""The data that both halves of `EngineVersion` exchange."""

from __future__ import annotations

from dataclasses import dataclass

from portcullis.agent.wire import ABSENT, Desired, Facts, Spec


@dataclass(frozen=True)
class EngineSpec(Spec):
    """The versions that we accept. The attributes are those of `EngineDesired`."""

    engine: str
    api_from: str
    api_to: str
    client: str


@dataclass(frozen=True)
class EngineDesired(Desired):
    """The engine that we accept.

    Attributes:
        asks: the stack and the resource that declare it. Several may, because nothing on the host changes.
        engine: the oldest version of the engine, such as 24.0.
        api_from: the oldest version of Docker's API that the client speaks, such as 1.40.
        api_to: the newest version of the API that the client speaks.
        client: the name and version of the client, for messages.
        unusable: why the engine cannot be used. Always empty here: we declare an engine that can be used.
    """

    asks: str
    engine: str
    api_from: str
    api_to: str
    client: str
    unusable: str = ""

    @property
    def id(self) -> str:
        """The stack and the resource that declare it."""
        return self.asks

    def spec(self) -> EngineSpec:
        """Return the versions that we accept."""
        return EngineSpec(self.engine, self.api_from, self.api_to, self.client)


@dataclass(frozen=True)
class EngineFacts(Facts):
    """The engine on the host.

    Attributes:
        version: the version of the engine.
        unusable: why the engine cannot be used; empty if it can.
    """

    version: str = ABSENT
    unusable: str = ""
