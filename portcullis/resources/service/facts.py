"""The data that provider and agent exchange about a `Service`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

NAME = re.compile(r"[A-Za-z0-9:_.\\@-]+\.[a-z]+\Z")
"""The full name of a unit: these characters, then a type (systemd.unit(5))."""


@dataclass(frozen=True)
class ServiceSpec(Spec):
    """The name of a unit, and the paths of the files that it reads.

    Attributes:
        unit: full name.
        reads: absolute paths of files and folders.
    """

    unit: str
    reads: Sequence[str] = ()


@dataclass(frozen=True)
class ServiceDesired(Desired):
    """A unit as it is declared in the Pulumi program.

    Attributes:
        unit: full name.
        active: active or inactive.
        enabled: enabled, disabled, masked or static.
        reads: the paths that the unit reads, each with the revision of the resource that writes it. A name
            that is not an absolute path means another input of the unit, such as packages.
        on_change: reload or restart.
    """

    unit: str
    active: str = "active"
    enabled: str = "enabled"
    reads: Mapping[str, str] = field(default_factory=dict)
    on_change: str = "reload"

    @property
    def id(self) -> str:
        """The name of the unit."""
        return self.unit

    def spec(self) -> ServiceSpec:
        """Return the unit's name and the paths that it reads as a spec."""
        return ServiceSpec(self.unit, sorted(path for path in self.reads if path.startswith("/")))


@dataclass(frozen=True)
class ServiceFacts(Facts):
    """A unit as it is on the host.

    Attributes:
        active: systemd's ActiveState.
        enabled: systemd's UnitFileState.
        stale: whether the unit runs and one of its files changed after the unit last read them.
    """

    active: str = ""
    enabled: str = ""
    stale: bool = False
