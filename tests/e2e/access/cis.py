"""Items of a CIS benchmark for Docker: what is asked of a host, what one item is, what it finds."""

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
    """What is asked of a host.

    Attributes:
        daemon: the content of daemon.json.
        info: `docker info`.
        argv: the command line of dockerd.
        bridge: `docker network inspect bridge`.
        files: those that exist, by path.
        containers: `docker inspect` of every container.
    """

    daemon: Mapping[str, Any]
    info: Mapping[str, Any]
    argv: Sequence[str]
    bridge: Mapping[str, Any]
    files: Mapping[str, FileFact]
    containers: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an item finds wrong."""

    item: str
    title: str
    fault: str

    def __str__(self) -> str:
        """`5.13 title: fault`."""
        return f"{self.item} {self.title}: {self.fault}"


@dataclass(frozen=True, slots=True)
class Item:
    """A recommendation of the benchmark, by its number, and the check that we make of it."""

    number: str
    title: str
    faults: Callable[[Facts], Iterator[str]]


ITEMS: dict[str, Item] = {}


def item(number: str, title: str) -> Callable[[HostCheck], HostCheck]:
    """Register a check under the benchmark's number."""

    def register(faults: HostCheck) -> HostCheck:
        ITEMS[number] = Item(number, title, faults)
        return faults

    return register


def every(number: str, title: str) -> Callable[[ContainerCheck], ContainerCheck]:
    """Register a check of one container: it returns what is wrong with it."""

    def register(fault: ContainerCheck) -> ContainerCheck:
        def faults(facts: Facts) -> Iterator[str]:
            for container in facts.containers:
                if said := fault(container):
                    yield f"{container['Name'].lstrip('/')}: {said}"

        ITEMS[number] = Item(number, title, faults)
        return fault

    return register
