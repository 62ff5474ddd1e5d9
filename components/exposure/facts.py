"""The data that the resource provider and the agent exchange about `Exposure`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

MAPS = ("listeners", "published", "passes", "networks")
"""The attributes of `Exposure` that are compared. Each attribute is a map of listeners, ports, rules or
networks."""
ABSENT = "absent"
"""The value of a key in a reported difference if the host or the declaration lacks the key."""


@dataclass(frozen=True)
class ExposureSpec(Spec):
    """The declared exposure, which the agent needs to read the host.

    The agent forms some keys by the declared exposure. The agent reads the host a second time if the facts
    differ from the declaration.

    Attributes:
        listeners: sockets on non-loopback addresses, each with its owner.
        published: ports that Docker publishes on non-loopback addresses, each with its container.
        passes: the open ports and the accepting rules of the firewalls, each with the allowed sources.
        networks: Docker networks.
        accepted: undeclared keys of these four maps that may be on the host, each with the reason.
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
    """The declared exposure of a host. `ExposureSpec` explains the attributes of this class."""

    listeners: Mapping[str, str]
    published: Mapping[str, str]
    passes: Mapping[str, str]
    networks: Mapping[str, str]
    accepted: Mapping[str, str]
    usual: Mapping[str, str]

    @property
    def id(self) -> str:
        """The id of the exposure. The id is the same on all hosts, because a host has one exposure."""
        return "host"

    def spec(self) -> ExposureSpec:
        """Return all attributes, because the agent needs each attribute to read the host."""
        return ExposureSpec(
            self.listeners, self.published, self.passes, self.networks, self.accepted, self.usual
        )


@dataclass(frozen=True)
class ExposureFacts(Facts):
    """The ports, rules and networks that a host exposes, without the entries of `accepted` and `usual`.

    Attributes:
        listeners: sockets on non-loopback addresses, each with its owner.
        published: ports that Docker publishes on non-loopback addresses, each with its container.
        passes: the open ports and the accepting rules of the firewalls, each with the allowed sources.
        networks: declared Docker networks, and undeclared networks that a container is in. The text of an
            undeclared network names its containers.
    """

    listeners: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, str] = field(default_factory=dict)
    passes: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, maps: Mapping[str, Mapping[str, str]]) -> ExposureFacts:
        """Return the facts from the four maps, whose names are in `MAPS`."""
        return cls(
            exists=True,
            listeners=maps["listeners"],
            published=maps["published"],
            passes=maps["passes"],
            networks=maps["networks"],
        )


def maps_of(thing: ExposureSpec | ExposureDesired | ExposureFacts) -> dict[str, Mapping[str, str]]:
    """Return the maps that are compared, by the names in `MAPS`."""
    return {name: getattr(thing, name) for name in MAPS}
