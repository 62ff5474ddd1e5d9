"""The data that both halves of the containers' host resources exchange."""

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
"""The status that a container should reach, by what we expect of it."""

JOINED = "joined"
"""The value of a network that a container is in."""
PRESENT, MISSING = "present", "missing"
"""Whether a processor has a feature."""

OWNER_LABEL = "portcullis.stack"
"""The label of containers and networks that names the project and the stack that created them."""
RUNNING = "running"
"""What `ReleaseFacts.container` says of a container without a fault."""
PORTS = range(28000, 29000)
"""Ports that hosts give to releases.

They are below the ephemeral ports, which begin at 32768 on Linux. No common program is registered for them.
"""


@dataclass(frozen=True)
class ContainerStateSpec(Spec):
    """The container to read.

    Attributes:
        container: its name on the host.
        expects: whether it should run and be healthy, or end with exit code 0.
        networks: whether to read its networks as well.
    """

    container: str
    expects: Literal["healthy", "exited"]
    networks: bool = False


@dataclass(frozen=True)
class ContainerStateDesired(Desired):
    """What a container should be like once it runs.

    Attributes:
        item: the name in the host's records.
        container: its name on the host.
        container_id: its id. A container with the same name and another id is not this container.
        pids: how many processes and threads it may have, in decimal digits.
        expects: whether it should become healthy, or end with exit code 0.
        within: how many seconds that may take, as a decimal number.
        secret: whether its environment or command holds a secret.
        networks: the networks of Docker that it should be in, and no others, each with `JOINED`. None leaves
            its networks unchanged.
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
        """The name in the host's records."""
        return self.item

    @property
    def status(self) -> str:
        """The status that it should reach."""
        return EXPECTED[self.expects]

    def spec(self) -> ContainerStateSpec:
        """Return the container to read."""
        return ContainerStateSpec(self.container, self.expects, self.networks is not None)


@dataclass(frozen=True)
class ContainerStateFacts(Facts):
    """The state of a container.

    Attributes:
        container_id: its id.
        pids: how many processes and threads it may have; 0 is no limit, "" is a job that has ended.
        status: its health if it runs and has a check, otherwise its state and exit code.
        networks: the networks of Docker that it is in, each with `JOINED`; None if they were not read.
    """

    container_id: str = ""
    pids: str = ""
    status: str = ""
    networks: Optional[Mapping[str, str]] = None


@dataclass(frozen=True)
class CpuSpec(Spec):
    """The features of the processor to look for, as /proc/cpuinfo spells them."""

    features: Sequence[str]


@dataclass(frozen=True)
class CpuDesired(Desired):
    """What a program needs of the processor.

    Attributes:
        program: the program that needs the features.
        features: flags such as "avx", each with the value that the last refresh found.
        reason: why the program needs them, for the error if one is missing.
        hint: what to do then.
    """

    program: str
    features: Mapping[str, str]
    reason: str
    hint: str

    @property
    def id(self) -> str:
        """The program."""
        return self.program

    def spec(self) -> CpuSpec:
        """Return the features to look for."""
        return CpuSpec(sorted(self.features))


@dataclass(frozen=True)
class CpuFacts(Facts):
    """The features of the processor.

    Attributes:
        features: `PRESENT` or `MISSING` for each feature.
    """

    features: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PulledImageSpec(Spec):
    """The image to look for, by name and digest."""

    image: str


@dataclass(frozen=True)
class PulledImageDesired(Desired):
    """An image, and the login at its registry.

    Attributes:
        image: name and digest.
        username: the user at the registry.
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
        """Return the image to look for. The host's record keeps no login."""
        return PulledImageSpec(self.image)


@dataclass(frozen=True)
class PulledImageFacts(Facts):
    """Whether Docker has the image."""


@dataclass(frozen=True)
class ReleaseSpec(Spec):
    """The app whose release to read, and what its container should be like.

    Attributes:
        app: name of the app.
        published: whether the release has a port.
        cpus: the CPU limit of its container, as a decimal number.
    """

    app: str
    published: bool
    cpus: str


@dataclass(frozen=True)
class ReleaseDesired(Desired):
    """A release. Its definition stays on the deploying machine: it may hold secrets.

    Attributes:
        app: name of the app. Its containers are called `APP-NUMBER`.
        published: whether the release needs a port.
        cpus: the CPU limit of its container, as a decimal number.
        token: requests a new release, if the host has not seen this token before; "" requests none.
        after: the number of the new release is greater than this one.
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
        """Return the app whose release to read."""
        return ReleaseSpec(self.app, self.published, self.cpus)


@dataclass(frozen=True)
class ReleaseFacts(Facts):
    """The present release.

    Attributes:
        number: 1, 2, …
        port: its port on docker0's address, or 0 for an app that is not published.
        container: `RUNNING`, or a fault of its container that only a new release can fix.
    """

    number: int = 0
    port: int = 0
    container: str = ""
