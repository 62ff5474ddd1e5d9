"""The typed data that both halves of nginx's host resources exchange."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

SERVED = "served"
"""The value for a site that answers."""
# RFC 1035, section 2.3.4: a label has 63 characters at most, and TLS cannot carry a longer one.
NAME = re.compile(r"(?:\*\.)?[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
"""A site's name, or a wildcard."""


@dataclass(frozen=True)
class Probe:
    """How to check one site.

    Attributes:
        tls: nginx serves the site on port 443, and not only on port 80.
        certificate: path of the file whose first certificate port 443 must show; "" accepts any certificate.
    """

    tls: bool
    certificate: str


@dataclass(frozen=True)
class ServedSitesSpec(Spec):
    """What to read on the host.

    Attributes:
        unit: nginx's unit.
        reads: paths that nginx reads.
        probes: how to check each site, by its name.
        accepted: undeclared files that may be in nginx's configuration.
    """

    unit: str
    reads: Sequence[str]
    probes: Mapping[str, Probe]
    accepted: Sequence[str] = ()


@dataclass(frozen=True)
class ServedSitesDesired(Desired):
    """The declaration that nginx serves every site.

    Attributes:
        unit: nginx's unit.
        sites: site names, each with `SERVED`. In a state that was read back: or the reason why nginx does not
            serve it.
        probes: how to check each site, by its name.
        reads: what nginx runs on: paths and names of resources, each with its revision.
        stale: False. In a state that was read back: whether nginx runs on older files.
        broken: empty. In a state that was read back: the message with which nginx refuses its configuration.
        strangers: empty. In a state that was read back: undeclared and changed files in nginx's
            configuration.
        accepted: undeclared files that may be there, each with the reason.
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
        """Return what to read on the host: the unit, the paths among `reads`, and the probes."""
        paths = sorted(path for path in self.reads if path.startswith("/"))
        return ServedSitesSpec(self.unit, paths, self.probes, sorted(self.accepted))


@dataclass(frozen=True)
class ServedSitesFacts(Facts):
    """What nginx serves.

    Attributes:
        sites: each site with `SERVED`, or with the reason why nginx does not serve it.
        stale: a file is newer than the configuration that nginx runs on.
        broken: the message with which nginx refuses its configuration; "" where it accepts it or runs on it.
        strangers: undeclared files in nginx's configuration, and changed files of its packages, by path.
    """

    sites: Mapping[str, str] = field(default_factory=dict)
    stale: bool = False
    broken: str = ""
    strangers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DrainSpec(Spec):
    """Which nginx to look at.

    Attributes:
        service: nginx's unit.
    """

    service: str


@dataclass(frozen=True)
class DrainDesired(Desired):
    """How long to wait for running requests.

    Attributes:
        service: nginx's unit.
        reads: path of nginx's configuration. Workers older than its last change still use former upstreams.
        seconds: the longest wait, as a decimal number.
    """

    service: str
    reads: str
    seconds: str

    @property
    def id(self) -> str:
        """Return nginx's unit."""
        return self.service

    def spec(self) -> DrainSpec:
        """Return which nginx to look at."""
        return DrainSpec(self.service)


@dataclass(frozen=True)
class DrainFacts(Facts):
    """A drain has no facts: it leaves nothing on the host."""
