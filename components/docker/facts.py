"""What both halves of `EngineVersion` exchange."""

from __future__ import annotations

from dataclasses import dataclass

from portcullis.agent.wire import ABSENT, Desired, Facts, Spec


@dataclass(frozen=True)
class EngineSpec(Spec):
    """Which versions will do. The attributes are those of `EngineDesired`."""

    engine: str
    api_from: str
    api_to: str
    client: str


@dataclass(frozen=True)
class EngineDesired(Desired):
    """Which engine will do.

    Attributes:
        asks: the stack and the resource that ask: more than one may, since nothing is changed.
        engine: the oldest version, such as 24.0.
        api_from: the oldest version of the API that its client speaks, such as 1.40.
        api_to: the newest one.
        client: the name and version of the client, for people.
        unusable: why the engine will not do: never a reason, as it is declared.
    """

    asks: str
    engine: str
    api_from: str
    api_to: str
    client: str
    unusable: str = ""

    @property
    def id(self) -> str:
        """Who asks."""
        return self.asks

    def spec(self) -> EngineSpec:
        """Return which versions will do."""
        return EngineSpec(self.engine, self.api_from, self.api_to, self.client)


@dataclass(frozen=True)
class EngineFacts(Facts):
    """The engine that is there.

    Attributes:
        version: its own version.
        unusable: why it will not do; empty where it does.
    """

    version: str = ABSENT
    unusable: str = ""
