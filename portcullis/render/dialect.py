"""What each operating system's own packages can do; the settings declare which one a host runs.

Read from the host instead, these would be unknown in every first preview.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Dialect:
    """The versions that a system ships, and what follows from them for the files we write.

    Attributes:
        docker: version of the package docker.io.
        docker_packages: what gives both the engine and the client; the docker provider's ssh:// transport
            runs `docker system dial-stdio` on the host. Recommended packages are named where they are
            needed: apparmor confines containers, ca-certificates lets registries be trusted.
        dockerd_validates: `dockerd --validate` exists since 23.0
            (https://docs.docker.com/engine/release-notes/23.0/).
        network_defaults: `default-network-opts` exists since 24.0
            (https://docs.docker.com/engine/release-notes/24.0/).
        nginx: version of the package nginx.
    """

    docker: str
    docker_packages: tuple[str, ...]
    dockerd_validates: bool
    network_defaults: bool
    nginx: str


DIALECTS: Mapping[str, Dialect] = {
    # https://packages.debian.org/bookworm/docker.io: the client is part of docker.io.
    "debian-12": Dialect(
        docker="20.10.24",
        docker_packages=("apparmor", "ca-certificates", "docker.io"),
        dockerd_validates=False,
        network_defaults=False,
        nginx="1.22.1",
    ),
    # https://packages.debian.org/trixie/docker.io: it only recommends docker-cli, so we name it.
    "debian-13": Dialect(
        docker="26.1.5",
        docker_packages=("apparmor", "ca-certificates", "docker-cli", "docker.io"),
        dockerd_validates=True,
        network_defaults=True,
        nginx="1.26.3",
    ),
}
