"""The data that the program and the agent exchange about `Exposure`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Dict, Union

from portcullis.agent.wire import Desired, Facts, Spec

MAPS = ("listeners", "published", "passes", "networks")
"""The attributes that are compared. Each is a map of exposed things."""
ABSENT = "absent"
"""The value in a step for a key that is missing on the host, or undeclared."""


@dataclass(frozen=True)
class ExposureSpec(Spec):
    """What is declared. The host needs it for reading.

    Some keys depend on what is declared, and the host reads a second time when its facts differ from it.

    Attributes:
        listeners: sockets beyond loopback, each with its owner.
        published: ports that Docker publishes beyond loopback, each with its container.
        passes: what the firewalls let through, each with the sources.
        networks: Docker networks.
        accepted: keys of any of these maps that may be on the host, each with the reason.
        usual: listeners and published ports that may be on any address, each with the reason.
    """

    listeners: Mapping[str, str]
    published: Mapping[str, str]
    passes: Mapping[str, str]
    networks: Mapping[str, str]
    accepted: Mapping[str, str]
    usual: Mapping[str, str]


@dataclass(frozen=True)
class ExposureDesired(Desired):
    """What a host may expose. The attributes are those of `ExposureSpec`."""

    listeners: Mapping[str, str]
    published: Mapping[str, str]
    passes: Mapping[str, str]
    networks: Mapping[str, str]
    accepted: Mapping[str, str]
    usual: Mapping[str, str]

    @property
    def id(self) -> str:
        """The same for all hosts, because a host has one exposure."""
        return "host"

    def spec(self) -> ExposureSpec:
        """Return all attributes: the host needs each of them for reading."""
        return ExposureSpec(
            self.listeners, self.published, self.passes, self.networks, self.accepted, self.usual
        )


@dataclass(frozen=True)
class ExposureFacts(Facts):
    """What a host exposes, without accepted and usual entries.

    Attributes:
        listeners: sockets beyond loopback, each with its owner.
        published: ports that Docker publishes beyond loopback, each with its container.
        passes: what the firewalls let through, each with the sources.
        networks: Docker networks that are declared, and undeclared ones that a container is in. The text of
            an undeclared network names its containers.
    """

    listeners: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, str] = field(default_factory=dict)
    passes: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, maps: Mapping[str, Mapping[str, str]]) -> ExposureFacts:
        """Build the facts from maps, by the names in `MAPS`."""
        return cls(
            exists=True,
            listeners=maps["listeners"],
            published=maps["published"],
            passes=maps["passes"],
            networks=maps["networks"],
        )


def maps_of(thing: Union[ExposureSpec, ExposureDesired, ExposureFacts]) -> Dict[str, Mapping[str, str]]:
    """Return the maps that are compared, by the names in `MAPS`."""
    return {name: getattr(thing, name) for name in MAPS}
