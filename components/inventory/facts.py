"""The data about `Inventory` that the provider and the agent on the host exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

MAPS = ("accounts", "keys", "files", "units", "programs", "packages", "kernel", "docker")
"""The attributes of the inventory that a preview compares. Each attribute is a map from an undeclared item to
a text about it."""
WORDS: Mapping[str, str] = {
    "accounts": "account",
    "keys": "key",
    "files": "file",
    "units": "unit",
    "programs": "program",
    "packages": "package",
    "kernel": "kernel",
}
"""The first word of a key in `inventory.accept`, for each map. Keys of `docker` already begin with a word
such as `container`."""
STILL_SERVES, LEFT_BEHIND = "the release before, still serving", "left by an `up` that failed"
"""The texts of containers of former releases: of one that nginx sends requests to, and of the others."""
FORMER: Mapping[str, str] = {
    STILL_SERVES: "goes with the next release",
    LEFT_BEHIND: "goes with the next `up`",
}
"""The text of each container that `up` will remove, with the remedy. An `up` does not warn of them."""
ABSENT = "absent"
"""The declared value of every item that the inventory finds, because all these items are undeclared."""
NO_BASELINE = "not recorded for this machine: the next `up` records what is here"
"""The text of the entry `baseline` in `files`, if this machine has no recorded baseline."""

NOT_KEPT = "not recorded as it is now: the next `up` records what you accept"
"""The text of the entry `inventory.accept` in `files`, if an older version recorded nothing about it."""


@dataclass(frozen=True)
class InventorySpec(Spec):
    """The declared items that the host's own records do not contain.

    Attributes:
        containers: names of Docker containers whose ids are in no record of the host.
        networks: the declared Docker networks, each with its declared members, joined by commas.
        volumes: names of the declared Docker volumes.
        sources: the declared apt sources, as URIs, such as "https://download.docker.com/linux/debian".
        accepted: undeclared items that may stay, such as "file /etc/foo", each with the reason.
    """

    containers: Sequence[str]
    networks: Mapping[str, str]
    volumes: Sequence[str]
    sources: Sequence[str]
    accepted: Mapping[str, str]


@dataclass(frozen=True)
class InventoryDesired(Desired):
    """The declared inventory of a host.

    The maps in `MAPS` are empty here, because every entry that the host finds is a difference.
    `InventorySpec` explains the other attributes of this class.
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
        """The id of the inventory. It is the same for all hosts, because a host has one inventory."""
        return "host"

    def spec(self) -> InventorySpec:
        """Return the declared items, which the agent needs to read the host."""
        return InventorySpec(self.containers, self.networks, self.volumes, self.sources, self.accepted)


@dataclass(frozen=True)
class Advice:
    """What a report tells of an entry beside its text.

    Attributes:
        is_open: whether the entry lets somebody in, or gives somebody rights.
        fixes: the fixes that undo the entry, in their order. A fix is the name of an action and its operands,
            such as ["remove-file", "/etc/cron.d/evil"]. The module `remedies` has the command of each
            action.
    """

    is_open: bool = False
    fixes: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class InventoryFacts(Facts):
    """The items on a host that have no known origin.

    Such an item is not declared, and no package brought it. Such an item did not come with the machine, and
    the settings do not accept it.

    Attributes:
        accounts: accounts that can log in or that have rights of root.
        keys: keys that let somebody log in.
        files: files, folders and links, by path.
        units: units of systemd, by name.
        programs: programs with special rights, and changed files of packages, from the nightly walk.
        packages: packages, with their origin.
        kernel: kernel settings, routes, addresses and interfaces.
        docker: containers, networks, volumes and plugins.
        baseline: the time when the baseline was recorded, and its number of entries. The text is empty if
            there is no baseline.
        advice: the severity and the fixes of entries, by the name of their map and by key. Entries without
            both are left out. Nothing compares this field.
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
    advice: Mapping[str, Mapping[str, Advice]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        maps: Mapping[str, Mapping[str, str]],
        baseline: Mapping[str, str],
        advice: Mapping[str, Mapping[str, Advice]],
    ) -> InventoryFacts:
        """Build the facts from the baseline, the advice, and the maps, whose names are those in `MAPS`."""
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
            advice=advice,
        )


def maps_of(thing: InventoryDesired | InventoryFacts) -> dict[str, Mapping[str, str]]:
    """Return the maps that are compared, by the names in `MAPS`."""
    return {name: getattr(thing, name) for name in MAPS}


def acceptance(name: str, key: str) -> str:
    """Return the key under which an entry is accepted: `file /etc/foo`, `container leak`."""
    return f"{WORDS[name]} {key}" if name in WORDS else key
