"""The data about the engine's version that the provider and the host exchange."""

from __future__ import annotations

from dataclasses import dataclass

from portcullis.agent.wire import ABSENT, Desired, Facts, Spec


@dataclass(frozen=True)
class EngineSpec(Spec):
    """The versions of Docker that we accept. `EngineDesired` explains the attributes of this class."""

    engine: str
    api_from: str
    api_to: str
    client: str


@dataclass(frozen=True)
class EngineDesired(Desired):
    """The versions of Docker that we accept, as a resource declares them.

    Attributes:
        asks: the stack and the resource that declare this check. Several resources may declare the check,
            because nothing on the host changes.
        engine: the oldest version of the engine, such as 24.0.
        api_from: the oldest version of Docker's API that the client speaks, such as 1.40.
        api_to: the newest version of the API that the client speaks.
        client: the name and version of the client, for messages.
        unusable: why the engine cannot be used. The declared value is always the empty text.
    """

    asks: str
    engine: str
    api_from: str
    api_to: str
    client: str
    unusable: str = ""

    @property
    def id(self) -> str:
        """The stack and the resource that declare the check."""
        return self.asks

    def spec(self) -> EngineSpec:
        """Return the versions of Docker that we accept."""
        return EngineSpec(self.engine, self.api_from, self.api_to, self.client)


@dataclass(frozen=True)
class EngineFacts(Facts):
    """The engine on the host.

    Attributes:
        version: the version of the engine.
        unusable: why the engine cannot be used; empty if the engine can be used.
        open_files: how many files a process of the host may open at most, or 0 if the host does not tell it.
    """

    version: str = ABSENT
    unusable: str = ""
    open_files: int = 0
