"""What both halves of `Exposure` exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Dict, Union

from portcullis.agent.wire import Desired, Facts, Spec

MAPS = ("listeners", "published", "passes", "networks")
"""What is compared; each is a map of what is exposed."""
ABSENT = "absent"
"""What a step says of something that is not there, or not declared."""


@dataclass(frozen=True)
class ExposureSpec(Spec):
    """What is declared. The host needs it for reading: some keys depend on it, and much is looked at twice.

    Attributes:
        listeners: sockets beyond loopback, each with its owner.
        published: ports that Docker publishes beyond loopback, each with its container.
        passes: what the firewalls let through, each with the sources.
        networks: networks of Docker.
        accepted: keys of any of these that may be there, each with the reason.
        usual: what may be there on any address, each with the reason.
    """

    listeners: Mapping[str, str]
    published: Mapping[str, str]
    passes: Mapping[str, str]
    networks: Mapping[str, str]
    accepted: Mapping[str, str]
    usual: Mapping[str, str]


@dataclass(frozen=True)
class ExposureDesired(Desired):
    """What a host may expose, as it is declared. The attributes are those of `ExposureSpec`."""

    listeners: Mapping[str, str]
    published: Mapping[str, str]
    passes: Mapping[str, str]
    networks: Mapping[str, str]
    accepted: Mapping[str, str]
    usual: Mapping[str, str]

    @property
    def id(self) -> str:
        """Always the same: a host has one."""
        return "host"

    def spec(self) -> ExposureSpec:
        """Return all of it."""
        return ExposureSpec(
            self.listeners, self.published, self.passes, self.networks, self.accepted, self.usual
        )


@dataclass(frozen=True)
class ExposureFacts(Facts):
    """What a host exposes, without what is accepted or usual.

    Attributes:
        listeners: sockets beyond loopback, each with its owner.
        published: ports that Docker publishes beyond loopback, each with its container.
        passes: what the firewalls let through, each with the sources.
        networks: networks of Docker that are declared, or have a container, which is the text.
    """

    listeners: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, str] = field(default_factory=dict)
    passes: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, maps: Mapping[str, Mapping[str, str]]) -> ExposureFacts:
        """Return what these maps tell, by the names in `MAPS`."""
        return cls(
            exists=True,
            listeners=maps["listeners"],
            published=maps["published"],
            passes=maps["passes"],
            networks=maps["networks"],
        )


def maps_of(thing: Union[ExposureSpec, ExposureDesired, ExposureFacts]) -> Dict[str, Mapping[str, str]]:
    """Return what is compared, by the names in `MAPS`."""
    return {name: getattr(thing, name) for name in MAPS}
