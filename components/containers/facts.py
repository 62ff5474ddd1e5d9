"""The data about containers that the providers and the host exchange."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from portcullis.agent.declared import (
    TEXT,
    Asked,
    Declaration,
    DeclaredDesired,
    DeclaredSpec,
    Prop,
    ReadBack,
    own,
    prop,
)
from portcullis.agent.wire import Desired, Facts, Spec

if TYPE_CHECKING:
    from pulumi import Input

IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}\Z")
"""An image with a digest, `NAME@sha256:…` or `NAME:TAG@sha256:…`."""

EXPECTED = MappingProxyType({"healthy": "healthy", "exited": "exited 0"})
"""The status that a container should reach, by what we expect of it."""

JOINED = "joined"
"""The value of a network that a container is in."""
OUTSIDE = "absent"
"""The value of `LinkFacts.member` if the server is not in the network."""
INTERNAL = "internal bridge"
"""The only type of a link's network: it leads nowhere else."""

FORMER = "former containers"
"""The key of the note with the ids of a container's predecessors, in the record of its state. A predecessor
runs until an `up` succeeds."""
OWNER_LABEL = "portcullis.stack"
"""The label of containers and networks that names the project and the stack that created them."""
SECRET_ENV_LABEL = "portcullis.secret-env"  # noqa: S105 - a label
"""The label of a container that names the environment variables that hold secrets, separated by spaces."""
RUNNING = "running"
"""What `ReleaseFacts.container` says of a container without a fault."""
PORTS = range(28000, 29000)
"""Ports that hosts give to releases.

They are below the ephemeral ports, which begin at 32768 on Linux. No common program is registered for them.
"""


@dataclass(frozen=True)
class ContainerStateSpec(Spec):
    """The container to read from Docker.

    Attributes:
        container: the name of the container on the host.
        expects: `healthy` for a container that should run and be healthy, `exited` for one that should exit
            with code 0.
        networks: whether to read the container's networks as well.
    """

    container: str
    expects: Literal["healthy", "exited"]
    networks: bool = False


@dataclass(frozen=True)
class ContainerStateDesired(Desired):
    """The declared state of a container that another resource created.

    Attributes:
        item: the name of the container in the host's records.
        container: the name of the container on the host.
        container_id: the container's id. A container with the same name and another id is another container.
        pids: the limit of processes and threads, in decimal digits.
        expects: `healthy` for a container that should become healthy, `exited` for one that should exit with
            code 0.
        within: seconds in which the container must reach this status, as a decimal number.
        secret: whether the container's environment or command contains a secret.
        networks: the only Docker networks that the container should be in, each with `JOINED`. If the value
            is None, the networks stay unchanged.
    """

    item: str
    container: str
    container_id: str
    pids: str
    expects: Literal["healthy", "exited"]
    within: str
    secret: bool = False
    networks: Mapping[str, str] | None = None

    @property
    def id(self) -> str:
        """The name of the container in the host's records."""
        return self.item

    @property
    def status(self) -> str:
        """The status that the container should reach."""
        return EXPECTED[self.expects]

    def spec(self) -> ContainerStateSpec:
        """Return the container to read."""
        return ContainerStateSpec(self.container, self.expects, self.networks is not None)


@dataclass(frozen=True)
class ContainerStateFacts(Facts):
    """The state of a container.

    Attributes:
        container_id: the container's id.
        pids: the limit of processes and threads. The value is 0 without a limit, and "" for a job that has
            ended.
        status: the container's health if it runs and has a health check, otherwise its state and exit code.
        networks: the Docker networks that the container is in, each with `JOINED`. The value is None if the
            networks were not read.
    """

    container_id: str = ""
    pids: str = ""
    status: str = ""
    networks: Mapping[str, str] | None = None


def link_name(user: str, server: str) -> str:
    """Return the name of the network of two containers. No name of an app or a store has a dot."""
    return f"{user}.{server}"


class LinkProps(
    Declaration, adopt="whether to take over a network of this name that another program created."
):
    """The properties of a link."""

    user: Asked[str] = prop(form=TEXT, identity=True)
    """the container that uses the server, by its name in the host's records."""
    server: Asked[str] = prop(form=TEXT, identity=True)
    """the server, by its name in the host's records. In the network, this is its name too."""
    container: Asked[Input[str], str] = prop(form=TEXT)
    """name of the server's container on the host."""
    container_id: Prop[Input[str], str] = prop(form=TEXT)
    """the container's id, so that a new container with the same name joins too."""
    network_type: ReadBack[str] = own(want=INTERNAL)
    """the network's type. A network of another type leads elsewhere."""
    member: ReadBack[str] = own(want=JOINED)
    """whether the server is in the network: `joined`, `absent`, or joined without its name."""
    others: ReadBack[dict[str, str]] = own(want={})
    """the undeclared containers in the network, by name, each with `joined`."""


class LinkSpec(LinkProps, DeclaredSpec):
    """The network to read, with its two containers."""

    @property
    def network(self) -> str:
        """The name of the network."""
        return link_name(self.user, self.server)


class LinkDesired(LinkProps, DeclaredDesired):
    """A link as it is declared in the Pulumi program."""

    spec_type = LinkSpec

    @property
    def id(self) -> str:
        """The name of the network."""
        return link_name(self.user, self.server)


@dataclass(frozen=True)
class LinkFacts(Facts):
    """A link as it is on the host. It exists if its network does. `LinkProps` describes the fields.

    Docker lists only containers that run, so only these can be in `others`.
    """

    network_type: str = ""
    member: str = ""
    others: Mapping[str, str] = field(default_factory=dict)


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
        """Name and digest of the image."""
        return self.image

    def spec(self) -> PulledImageSpec:
        """Return the image to look for, without the login: the host's record contains no login."""
        return PulledImageSpec(self.image)


@dataclass(frozen=True)
class PulledImageFacts(Facts):
    """Whether Docker has the image."""


@dataclass(frozen=True)
class ReleaseSpec(Spec):
    """The app whose release to read, and the declared properties of its container.

    Attributes:
        app: name of the app.
        published: whether the release has a port.
        cpus: the CPU limit of its container, as a decimal number.
        numbered: whether its container is called `APP-NUMBER`, as that of a published release always is.
    """

    app: str
    published: bool
    cpus: str
    numbered: bool = False


@dataclass(frozen=True)
class ReleaseDesired(Desired):
    """A release of an app.

    The definition of the release stays on the deploying machine, because it may contain secrets.

    Attributes:
        app: name of the app. The containers of the app are called `APP-NUMBER`.
        published: whether the release needs a port.
        cpus: the CPU limit of its container, as a decimal number.
        token: a token that the host has not seen before requests a new release. An empty token requests no
            release.
        after: the number of the last release in the state. The new release gets a greater number.
        numbered: whether its container is called `APP-NUMBER`, as that of a published release always is.
    """

    app: str
    published: bool
    cpus: str
    token: str = ""
    after: int = 0
    numbered: bool = False

    @property
    def id(self) -> str:
        """The name of the app."""
        return self.app

    def spec(self) -> ReleaseSpec:
        """Return the app whose release to read."""
        return ReleaseSpec(self.app, self.published, self.cpus, self.numbered)


@dataclass(frozen=True)
class ReleaseFacts(Facts):
    """The present release of an app.

    Attributes:
        number: the number of the release. The first release has the number 1.
        port: the port of the release on docker0's address, or 0 for an app that is not published.
        container: `RUNNING`, or a fault of the release's container that only a new release can fix.
    """

    number: int = 0
    port: int = 0
    container: str = ""
