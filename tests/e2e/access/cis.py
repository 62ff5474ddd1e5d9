"""Has the types for a check by the CIS Docker Benchmark: facts, items of the benchmark, and findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    HostCheck = Callable[["Facts"], Iterator[str]]
    ContainerCheck = Callable[[Mapping[str, Any]], str | None]


@dataclass(frozen=True, slots=True)
class FileFact:
    """Owner, group and permission bits of a file."""

    owner: str
    group: str
    mode: int


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a host that the checks need.

    Attributes:
        daemon: the content of daemon.json.
        info: the output of `docker info`.
        argv: the command line of dockerd.
        bridge: the output of `docker network inspect bridge`.
        files: the existing files, by path.
        containers: the output of `docker inspect` for every container.
    """

    daemon: Mapping[str, Any]
    info: Mapping[str, Any]
    argv: Sequence[str]
    bridge: Mapping[str, Any]
    files: Mapping[str, FileFact]
    containers: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault that an item of the benchmark found."""

    item: str
    title: str
    fault: str

    def __str__(self) -> str:
        """Return the finding as one line, such as `5.13 title: fault`."""
        return f"{self.item} {self.title}: {self.fault}"


@dataclass(frozen=True, slots=True)
class Item:
    """A recommendation of the benchmark with its number, and our check of a host."""

    number: str
    title: str
    faults: Callable[[Facts], Iterator[str]]


ITEMS: dict[str, Item] = {}


def item(number: str, title: str) -> Callable[[HostCheck], HostCheck]:
    """Register a check of the host under the benchmark's number."""

    def register(faults: HostCheck) -> HostCheck:
        ITEMS[number] = Item(number, title, faults)
        return faults

    return register


def every(number: str, title: str) -> Callable[[ContainerCheck], ContainerCheck]:
    """Register a check of every container. The check returns the fault of one container."""

    def register(fault: ContainerCheck) -> ContainerCheck:
        def faults(facts: Facts) -> Iterator[str]:
            for container in facts.containers:
                if said := fault(container):
                    yield f"{container['Name'].lstrip('/')}: {said}"

        ITEMS[number] = Item(number, title, faults)
        return fault

    return register
