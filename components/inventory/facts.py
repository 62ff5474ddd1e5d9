"""The data that the program and the agent exchange about `Inventory`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Dict, Union

from portcullis.agent.wire import Desired, Facts, Spec

MAPS = ("accounts", "keys", "files", "units", "programs", "packages", "kernel", "docker")
"""The attributes that are compared. Each is a map from an undeclared thing to a text about it."""
WORDS: Mapping[str, str] = {
    "accounts": "account",
    "keys": "key",
    "files": "file",
    "units": "unit",
    "programs": "program",
    "packages": "package",
    "kernel": "kernel",
}
"""The first word of an accepted key, by map. Keys of `docker` begin with their own, such as `container`."""
ABSENT = "absent"
"""The wanted value in every step: whatever the inventory finds is undeclared."""
NO_BASELINE = "not recorded for this machine: the next `up` records what is here"
"""The text of the entry `baseline` in `files`, if this machine has no recorded baseline."""


@dataclass(frozen=True)
class InventorySpec(Spec):
    """What is declared but does not stand in the host's own records.

    Attributes:
        containers: names of the declared Docker containers.
        networks: the declared Docker networks, each with its declared members, joined by commas.
        volumes: names of the declared Docker volumes.
        sources: the declared apt sources, as URIs, such as "https://download.docker.com/linux/debian".
        accepted: undeclared things that may stay, such as "file /etc/foo", each with the reason.
    """

    containers: Sequence[str]
    networks: Mapping[str, str]
    volumes: Sequence[str]
    sources: Sequence[str]
    accepted: Mapping[str, str]


@dataclass(frozen=True)
class InventoryDesired(Desired):
    """What may be on a host.

    The maps in `MAPS` are empty here, because every entry that the host finds is a difference. The other
    attributes are those of `InventorySpec`.
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
        """The same for all hosts, because a host has one inventory."""
        return "host"

    def spec(self) -> InventorySpec:
        """Return what the host needs for reading."""
        return InventorySpec(self.containers, self.networks, self.volumes, self.sources, self.accepted)


@dataclass(frozen=True)
class InventoryFacts(Facts):
    """What is on a host for no known reason.

    It is not declared, no package brought it, it did not come with the machine, and the settings do not
    accept it.

    Attributes:
        accounts: accounts that can log in or that have rights of root.
        keys: keys that let somebody log in.
        files: files, folders and links, by path.
        units: systemd units.
        programs: programs with special rights, and changed files of packages, from the nightly walk.
        packages: packages, and where they come from.
        kernel: kernel settings, routes, addresses and interfaces.
        docker: containers, networks, volumes and plugins.
        baseline: when the baseline was recorded, and its number of entries. Empty before that.
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
        """Build the facts from maps, by the names in `MAPS`, and the baseline."""
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
    """Return the maps that are compared, by the names in `MAPS`."""
    return {name: getattr(thing, name) for name in MAPS}


def acceptance(name: str, key: str) -> str:
    """Return the key under which an entry is accepted: `file /etc/foo`, `container leak`."""
    return f"{WORDS[name]} {key}" if name in WORDS else key
