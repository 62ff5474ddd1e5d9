"""What both halves of `Inventory` exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Dict, Union

from portcullis.agent.wire import Desired, Facts, Spec

MAPS = ("accounts", "keys", "files", "units", "programs", "packages", "kernel", "docker")
"""What is told; each is a map of what nobody declared, with a text on each."""
WORDS: Mapping[str, str] = {
    "accounts": "account",
    "keys": "key",
    "files": "file",
    "units": "unit",
    "programs": "program",
    "packages": "package",
    "kernel": "kernel",
}
"""How an acceptance of each map begins; a key of `docker` begins with its own word, such as `container`."""
ABSENT = "absent"
"""What a step says is declared: nothing of what is found."""
NO_BASELINE = "there is none of this machine: the next `up` records what is here"
"""What is told of the key `baseline` of files where nothing is recorded."""


@dataclass(frozen=True)
class InventorySpec(Spec):
    """What is declared and what the host's own records do not tell.

    Attributes:
        containers: names of Docker's containers that are declared.
        networks: Docker's networks that are declared, each with its declared members, joined by commas.
        volumes: names of Docker's volumes that are declared.
        sources: apt's sources that are declared, as URIs, such as "https://download.docker.com/linux/debian".
        accepted: what else may be there, such as "file /etc/foo", each with the reason.
    """

    containers: Sequence[str]
    networks: Mapping[str, str]
    volumes: Sequence[str]
    sources: Sequence[str]
    accepted: Mapping[str, str]


@dataclass(frozen=True)
class InventoryDesired(Desired):
    """What may be on a host, as it is declared.

    The maps in `MAPS` are empty here: whatever the host tells is a difference. The other attributes are those
    of `InventorySpec`.
    """

    containers: Sequence[str]
    networks: Mapping[str, str]
    volumes: Sequence[str]
    sources: Sequence[str]
    accepted: Mapping[str, str]
    accounts: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    kernel: Mapping[str, str] = field(default_factory=dict)
    docker: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Always the same: a host has one."""
        return "host"

    def spec(self) -> InventorySpec:
        """Return what the host needs for reading."""
        return InventorySpec(self.containers, self.networks, self.volumes, self.sources, self.accepted)


@dataclass(frozen=True)
class InventoryFacts(Facts):
    """What is on a host and neither declared, nor of its packages, nor came with it, nor accepted.

    Attributes:
        accounts: accounts that can log in or have rights of root's.
        keys: keys that let somebody log in.
        files: files, folders and links, by path.
        units: units of systemd.
        programs: programs with rights of their own, and changed files of packages, from the nightly walk.
        packages: packages, and where they come from.
        kernel: settings, routes, addresses and interfaces.
        docker: containers, networks, volumes and plugins.
        baseline: when what came with the machine was recorded, and how much it was; empty before that.
    """

    accounts: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    kernel: Mapping[str, str] = field(default_factory=dict)
    docker: Mapping[str, str] = field(default_factory=dict)
    baseline: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, maps: Mapping[str, Mapping[str, str]], baseline: Mapping[str, str]) -> InventoryFacts:
        """Return what these maps tell, by the names in `MAPS`."""
        return cls(
            exists=True,
            accounts=maps["accounts"],
            keys=maps["keys"],
            files=maps["files"],
            units=maps["units"],
            programs=maps["programs"],
            packages=maps["packages"],
            kernel=maps["kernel"],
            docker=maps["docker"],
            baseline=baseline,
        )


def maps_of(thing: Union[InventoryDesired, InventoryFacts]) -> Dict[str, Mapping[str, str]]:
    """Return what is told, by the names in `MAPS`."""
    return {name: getattr(thing, name) for name in MAPS}


def acceptance(name: str, key: str) -> str:
    """Return how something is accepted: `file /etc/foo`, `container leak`."""
    return f"{WORDS[name]} {key}" if name in WORDS else key
