"""The typed data about nginx that the providers and the host exchange."""

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
        tls: whether nginx serves the site on port 443, and not only on port 80.
        certificate: path of the file whose first certificate port 443 must show; "" accepts any certificate.
    """

    tls: bool
    certificate: str


@dataclass(frozen=True)
class ServedSitesSpec(Spec):
    """The facts about sites that the agent reads on the host.

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
        sites: each site's name with `SERVED`. After a refresh, the value may be the reason why nginx does not
            serve the site.
        probes: how to check each site, by its name.
        reads: what nginx depends on: paths and names of resources, each with its revision.
        stale: the declared value is False. After a refresh, the value is True if nginx runs on older files
            than those on the host.
        broken: the declared value is "". After a refresh, the value is the message with which nginx refuses
            its configuration.
        undeclared: the declared value is an empty map. After a refresh, the map has the undeclared and
            changed files in nginx's configuration.
        accepted: undeclared files that may be in nginx's configuration, each with the reason.
    """

    unit: str
    sites: Mapping[str, str]
    probes: Mapping[str, Probe]
    reads: Mapping[str, str] = field(default_factory=dict)
    stale: bool = False
    broken: str = ""
    undeclared: Mapping[str, str] = field(default_factory=dict)
    accepted: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return nginx's unit."""
        return self.unit

    def spec(self) -> ServedSitesSpec:
        """Return the spec of a read: the unit, the paths among `reads`, and the probes."""
        paths = sorted(path for path in self.reads if path.startswith("/"))
        return ServedSitesSpec(self.unit, paths, self.probes, sorted(self.accepted))


@dataclass(frozen=True)
class ServedSitesFacts(Facts):
    """The facts about the sites that nginx serves.

    Attributes:
        sites: each site with `SERVED`, or with the reason why nginx does not serve it.
        stale: whether a file is newer than the configuration that nginx runs on.
        broken: the message with which nginx refuses its configuration; "" if nginx accepts or runs the
            present files.
        undeclared: undeclared files in nginx's configuration, and changed files of its packages, by path.
        fixes: for each of `undeclared` its severity, the action that repairs it, and the action's operands.
    """

    sites: Mapping[str, str] = field(default_factory=dict)
    stale: bool = False
    broken: str = ""
    undeclared: Mapping[str, str] = field(default_factory=dict)
    fixes: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class DrainSpec(Spec):
    """The nginx of a drain. A drain waits until the former workers of this nginx have exited.

    Attributes:
        service: nginx's unit.
    """

    service: str


@dataclass(frozen=True)
class DrainDesired(Desired):
    """How long to wait for running requests.

    Attributes:
        service: nginx's unit.
        reads: path of nginx's configuration. A worker that started before the last change of this path still
            uses former upstreams.
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
        """Return the nginx whose workers the agent reads."""
        return DrainSpec(self.service)


@dataclass(frozen=True)
class DrainFacts(Facts):
    """A drain has no facts: it leaves nothing on the host."""
