"""The version of Docker that each source provides. The version decides which keys daemon.json may have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from portcullis.dialect import DIALECTS

if TYPE_CHECKING:
    from portcullis.dialect import Dialect

Source = Literal["debian", "docker", "present"]

DOCKERS = "29.0"
"""The major version that we take from Docker's repository. We raise this number after we tested a newer
version."""
DOCKERS_PACKAGES = ("containerd.io", "docker-ce", "docker-ce-cli")
OLDEST = "24.0"
"""The oldest version that we support of an engine that the host already has. Docker 24 is the first with
`default-network-opts`, which keeps published ports off public addresses."""


ANY = "1.0"
"""The oldest accepted version of an engine whose daemon.json we do not write. This value accepts every
version."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client of Docker engines, and the versions of Docker's API that it speaks."""

    name: str
    api_from: str
    api_to: str


CLIENT = Client("the docker plugin 5.x of Pulumi", api_from="1.40", api_to="1.51")
"""Pulumi's docker plugin, in the version of `pulumi-docker` that we require. The plugin and an engine use the
newest API version that both speak. The plugin's go.mod names docker v28.5.2, whose `api/common.go` has 1.51
as the newest version. `tests/contract/test_official.py` asks the plugin itself, if it is installed. This
client accepts every older version. We say 1.40, because later versions of moby's client library begin there:
https://docs.docker.com/reference/api/engine/#api-version-matrix."""


def dialect(os: str, source: Source) -> Dialect:
    """Return the dialect of a host's engine: the version's features and the packages that install it."""
    system = DIALECTS[os]
    if source == "docker":
        return replace(
            system, docker=DOCKERS, docker_packages=("apparmor", "ca-certificates", *DOCKERS_PACKAGES)
        )
    if source == "present":
        # Use only features of every supported version, because a first preview cannot know the real version.
        return replace(system, docker=OLDEST, docker_packages=())
    return system
