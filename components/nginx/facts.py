"""What both halves of the host resources of nginx exchange."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

SERVED = "served"
"""What is said of a site that answers."""
# RFC 1035, section 2.3.4: a label has 63 characters at most, and TLS cannot carry a longer one.
NAME = re.compile(r"(?:\*\.)?[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
"""A site's name, or a wildcard."""


@dataclass(frozen=True)
class Probe:
    """What to ask of a site.

    Attributes:
        tls: it is served on port 443 as well as on port 80.
        certificate: path of the file whose first certificate is shown there; "" takes any.
    """

    tls: bool
    certificate: str


@dataclass(frozen=True)
class ServedSitesSpec(Spec):
    """What to look at.

    Attributes:
        unit: nginx's unit.
        reads: paths that it reads.
        probes: what to ask of each site, by its name.
        accepted: files of others that may be in nginx's configuration.
    """

    unit: str
    reads: Sequence[str]
    probes: Mapping[str, Probe]
    accepted: Sequence[str] = ()


@dataclass(frozen=True)
class ServedSitesDesired(Desired):
    """That every site is served.

    Attributes:
        unit: nginx's unit.
        sites: names, each with `SERVED`; in a state that was read back, also why one is not.
        probes: what to ask of each site, by its name.
        reads: what nginx runs on: paths and names of resources, each with the revision that it had.
        stale: False; in a state that was read back, whether nginx ran on older files.
        broken: empty; in a state that was read back, the line by which nginx refused its configuration.
        strangers: empty; in a state that was read back, what in nginx's configuration nobody declared.
        accepted: files of others that may be there, each with the reason.
    """

    unit: str
    sites: Mapping[str, str]
    probes: Mapping[str, Probe]
    reads: Mapping[str, str] = field(default_factory=dict)
    stale: bool = False
    broken: str = ""
    strangers: Mapping[str, str] = field(default_factory=dict)
    accepted: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return nginx's unit."""
        return self.unit

    def spec(self) -> ServedSitesSpec:
        """Return the unit, with those things it reads that are paths, and what is asked."""
        paths = sorted(path for path in self.reads if path.startswith("/"))
        return ServedSitesSpec(self.unit, paths, self.probes, sorted(self.accepted))


@dataclass(frozen=True)
class ServedSitesFacts(Facts):
    """What nginx serves.

    Attributes:
        sites: each site and `SERVED`, or why it is not.
        stale: a file is newer than what nginx runs on.
        broken: the line by which nginx refuses its configuration; "" where it takes it, or runs on it.
        strangers: what in nginx's configuration is neither declared nor as its packages bring it, by path.
    """

    sites: Mapping[str, str] = field(default_factory=dict)
    stale: bool = False
    broken: str = ""
    strangers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DrainSpec(Spec):
    """Which nginx it is.

    Attributes:
        service: its unit.
    """

    service: str


@dataclass(frozen=True)
class DrainDesired(Desired):
    """How long requests under way are waited for.

    Attributes:
        service: nginx's unit.
        reads: its configuration; workers that are older than its last change serve former upstreams.
        seconds: the longest wait, as a decimal number.
    """

    service: str
    reads: str
    seconds: str

    @property
    def id(self) -> str:
        """Nginx's unit."""
        return self.service

    def spec(self) -> DrainSpec:
        """Return which nginx it is."""
        return DrainSpec(self.service)


@dataclass(frozen=True)
class DrainFacts(Facts):
    """Nothing of a drain stands on the host."""
