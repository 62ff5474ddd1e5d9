"""What both halves of the host resources of containers exchange."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Optional

from portcullis.agent.wire import Desired, Facts, Spec

IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}\Z")
"""An image with a digest, `NAME@sha256:…` or `NAME:TAG@sha256:…`."""

EXPECTED = MappingProxyType({"healthy": "healthy", "exited": "exited 0"})
"""The status that a container should get, by what is expected of it."""

JOINED = "joined"
"""Stands for a container's place in a network."""
PRESENT, MISSING = "present", "missing"
"""What a processor says of a feature."""

OWNER_LABEL = "portcullis.stack"
"""The label of containers and networks that says which project and stack made them."""
RUNNING = "running"
"""The container of a release as it should be."""
PORTS = range(28000, 29000)
"""Ports that hosts give to releases.

They are below the ephemeral ones, which Linux begins at 32768, and registered for nothing that people run.
"""


@dataclass(frozen=True)
class ContainerStateSpec(Spec):
    """Which container it is.

    Attributes:
        container: its name on the host.
        expects: whether it should run and be healthy, or end with 0.
        networks: read the networks that it is in as well.
    """

    container: str
    expects: Literal["healthy", "exited"]
    networks: bool = False


@dataclass(frozen=True)
class ContainerStateDesired(Desired):
    """What a container should be like once it runs.

    Attributes:
        item: what it is called in the host's records.
        container: its name on the host.
        container_id: its id; a container of the same name with another id is another one.
        pids: how many processes and threads it may have, in decimal digits.
        expects: that it gets healthy, or that it ends with 0.
        within: how many seconds that may take, as a decimal number.
        secret: its environment or command holds a secret.
        networks: the networks of Docker that it is in, each with `JOINED`; these and no other. None leaves
            them alone.
    """

    item: str
    container: str
    container_id: str
    pids: str
    expects: Literal["healthy", "exited"]
    within: str
    secret: bool = False
    networks: Optional[Mapping[str, str]] = None

    @property
    def id(self) -> str:
        """What it is called in the host's records."""
        return self.item

    @property
    def status(self) -> str:
        """The status that it should get."""
        return EXPECTED[self.expects]

    def spec(self) -> ContainerStateSpec:
        """Return which container it is."""
        return ContainerStateSpec(self.container, self.expects, self.networks is not None)


@dataclass(frozen=True)
class ContainerStateFacts(Facts):
    """What a container is like.

    Attributes:
        container_id: its id.
        pids: how many processes and threads it may have; 0 is no limit, "" a job that has ended.
        status: its health where it has a check and runs, otherwise its state and how its program ended.
        networks: the networks of Docker that it is in, each with `JOINED`; None where nobody asked.
    """

    container_id: str = ""
    pids: str = ""
    status: str = ""
    networks: Optional[Mapping[str, str]] = None


@dataclass(frozen=True)
class CpuSpec(Spec):
    """Which features of the processor are asked for, as /proc/cpuinfo spells them."""

    features: Sequence[str]


@dataclass(frozen=True)
class CpuDesired(Desired):
    """What a program needs of the processor.

    Attributes:
        program: who needs it.
        features: flags such as "avx"; their values are what the last refresh found.
        reason: what needs them, said where one is missing.
        hint: what to do about it.
    """

    program: str
    features: Mapping[str, str]
    reason: str
    hint: str

    @property
    def id(self) -> str:
        """Who needs it."""
        return self.program

    def spec(self) -> CpuSpec:
        """Return which features are asked for."""
        return CpuSpec(sorted(self.features))


@dataclass(frozen=True)
class CpuFacts(Facts):
    """What the processor can do.

    Attributes:
        features: `PRESENT` or `MISSING` by feature.
    """

    features: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PulledImageSpec(Spec):
    """Which image it is, by name and digest."""

    image: str


@dataclass(frozen=True)
class PulledImageDesired(Desired):
    """An image and the login that its registry asks for.

    Attributes:
        image: name and digest.
        username: who logs in at the registry.
        password: the password or token.
    """

    image: str
    username: str
    password: str = field(repr=False)

    @property
    def id(self) -> str:
        """Name and digest."""
        return self.image

    def spec(self) -> PulledImageSpec:
        """Return which image it is. The login is no part of what is remembered of it."""
        return PulledImageSpec(self.image)


@dataclass(frozen=True)
class PulledImageFacts(Facts):
    """Whether Docker has the image."""


@dataclass(frozen=True)
class ReleaseSpec(Spec):
    """Whose releases they are, and what the present one's container should be like.

    Attributes:
        app: name of the app.
        published: whether it has a port.
        cpus: what its container is limited to, as a decimal number.
    """

    app: str
    published: bool
    cpus: str


@dataclass(frozen=True)
class ReleaseDesired(Desired):
    """A release. What it is made of may hold secrets, and the host need not know.

    Attributes:
        app: name of the app: its containers are called `APP-NUMBER`.
        published: whether it needs a port.
        cpus: what its container is limited to, as a decimal number.
        token: asks for a new release, if the host has not seen it before; "" where none is asked for.
        after: the new release's number is greater than this one.
    """

    app: str
    published: bool
    cpus: str
    token: str = ""
    after: int = 0

    @property
    def id(self) -> str:
        """Name of the app."""
        return self.app

    def spec(self) -> ReleaseSpec:
        """Return whose releases they are."""
        return ReleaseSpec(self.app, self.published, self.cpus)


@dataclass(frozen=True)
class ReleaseFacts(Facts):
    """The present release.

    Attributes:
        number: 1, 2, …
        port: its port on docker0's address, or 0 for an app that is not published.
        container: `RUNNING`, or what is wrong with its container that only another release mends.
    """

    number: int = 0
    port: int = 0
    container: str = ""
