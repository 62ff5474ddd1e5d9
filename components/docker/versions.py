"""Which Docker a host runs, by where it comes from: what its daemon.json can say follows from that."""

from __future__ import annotations

from dataclasses import replace
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
