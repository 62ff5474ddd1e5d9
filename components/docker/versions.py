"""Which Docker a host runs, by where it comes from: what its daemon.json can say follows from that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from portcullis.dialect import DIALECTS

if TYPE_CHECKING:
    from portcullis.dialect import Dialect

Source = Literal["debian", "docker", "present"]

DOCKERS = "29.0"
"""The major version that we take from Docker's repository: another one is taken when it has been tried."""
DOCKERS_PACKAGES = ("containerd.io", "docker-ce", "docker-ce-cli")
OLDEST = "24.0"
"""The oldest engine of somebody else's: it knows what keeps ports off the world, `default-network-opts`."""


ANY = "1.0"
"""Any version at all, where nothing but the API has to fit."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who talks to engines, and the versions of the API that it speaks."""

    name: str
    api_from: str
    api_to: str


CLIENT = Client("the docker plugin 5.x of Pulumi", api_from="1.40", api_to="1.49")
"""The plugin of the `pulumi-docker` that we require. It and an engine agree on the newest version that both
speak. Its go.mod has docker v28.1.1, whose newest is 1.49; moby's client library after that begins at 1.40:
https://docs.docker.com/reference/api/engine/#api-version-matrix."""


def dialect(os: str, source: Source) -> Dialect:
    """Return what a host's engine understands, and the packages that bring it."""
    system = DIALECTS[os]
    if source == "docker":
        return replace(
            system, docker=DOCKERS, docker_packages=("apparmor", "ca-certificates", *DOCKERS_PACKAGES)
        )
    if source == "present":
        # Only what all of them know: which one it is would be unknown in every first preview.
        return replace(system, docker=OLDEST, docker_packages=())
    return system
