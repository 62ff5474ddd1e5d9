"""`Provider`, the base class for the provider of one kind of resource, and the types of its answers."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from portcullis.provider.changes import Section, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portcullis.provider.changes import Change, Line

Props = dict[str, Any]

PACKAGE = "portcullis"
GENERAL_KINDS = f"{PACKAGE}.resources"
"""The package of the kinds that any program may use."""


@dataclass(frozen=True, slots=True)
class CheckFailure:
    """A fault of one input."""

    property: str
    reason: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check: the inputs in their normal form, and all their faults."""

    inputs: Props
    failures: list[CheckFailure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DiffResult:
    """The result of a comparison.

    Attributes:
        changes: whether there is a difference. With None, Pulumi's engine compares the inputs itself, and
            prints each difference.
        replaces: changed inputs that require a replacement.
        delete_before_replace: whether to delete the old resource before the new one is created.
    """

    changes: bool | None = None
    replaces: list[str] = field(default_factory=list)
    delete_before_replace: bool = False


@dataclass(frozen=True, slots=True)
class CreateResult:
    """The result of a creation: the id of the new resource, and all its outputs."""

    id: str
    outs: Props


@dataclass(frozen=True, slots=True)
class ReadResult:
    """The result of a read: the live values, as outputs and as inputs.

    Pulumi's engine compares inputs to show drift.

    Attributes:
        secrets: the names of secret outputs and inputs. Only an import needs `secrets`: for a resource in the
            state, Pulumi's engine marks the same properties as in the state.
    """

    id: str
    outs: Props
    inputs: Props
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """The result of an update: all outputs of the changed resource."""

    outs: Props


class Provider(ABC):
    """The provider of one kind of resource.

    A provider has no state, and many threads may call it at once. The class of the resource is in the same
    module as its provider. `FileProvider` serves the class `File`, which Pulumi's engine calls
    `portcullis:index:File`.
    """

    secrets: ClassVar[tuple[str, ...]] = ()
    """Inputs and outputs that are always secret."""
    sets: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Inputs that are sets. The state maps each member to this word, so that a new member is one line."""

    renamed: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Properties by their former names, which states of earlier versions have."""

    section: ClassVar[Section] = Section.REST
    """The section of a report that lists the differences of this kind."""

    @classmethod
    def type_name(cls) -> str:
        """Return the resource's name, such as File."""
        return cls.__name__.removesuffix("Provider")

    @classmethod
    def type_token(cls) -> str:
        """Return the resource's type, such as portcullis:index:File."""
        return f"{PACKAGE}:index:{cls.type_name()}"

    def by_present_names(self, props: Props) -> Props:
        """Return the properties of a state of this or an earlier version by their present names."""
        return {self.renamed.get(name, name): value for name, value in props.items()}

    @abstractmethod
    def check(self, olds: Props, news: Props) -> CheckResult:
        """Bring inputs into their normal form.

        Some inputs may be unknown. This method never connects to a host.
        """

    @abstractmethod
    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Compare the state's outputs with checked inputs.

        Some inputs may be unknown. This method never connects to a host.
        """

    @abstractmethod
    def create(self, props: Props) -> CreateResult:
        """Create the resource."""

    @abstractmethod
    def read(self, id_: str, props: Props) -> ReadResult:
        """Read the resource that the state's outputs describe."""

    @abstractmethod
    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Change the resource."""

    @abstractmethod
    def delete(self, id_: str, props: Props) -> None:
        """Delete the resource."""

    @abstractmethod
    def import_(self, id_: str, urn: str) -> ReadResult | None:
        """Read a resource for `pulumi import`. Return None if there is no resource with this id.

        Raises:
            Exception: this kind, or this id, cannot be imported.
        """

    def lines(self, change: Change) -> list[Line]:
        """Describe the changes of a resource for people, one line for each change.

        This method never connects to a host.
        """
        return [plain(change, change.name)]


def import_kinds(*packages: str) -> None:
    """Import every module with kinds: the module or package `resource` in each folder of a package.

    Args:
        packages: the packages to search, such as `portcullis.components`. By default, all packages with kinds
            are searched.
    """
    for package in packages or (GENERAL_KINDS, f"{PACKAGE}.components"):
        for part in pkgutil.iter_modules(importlib.import_module(package).__path__):
            folder = f"{package}.{part.name}"
            modules = pkgutil.iter_modules(importlib.import_module(folder).__path__) if part.ispkg else ()
            if any(module.name == "resource" for module in modules):
                found = importlib.import_module(f"{folder}.resource")
                for module in pkgutil.iter_modules(getattr(found, "__path__", ())):
                    importlib.import_module(f"{folder}.resource.{module.name}")


def kinds() -> dict[str, type[Provider]]:
    """Return every provider of this package whose module is imported, each under the type of its resource."""
    return {found.type_token(): found for found in _concrete(Provider)}


def _concrete(base: type[Any]) -> Iterator[type[Provider]]:
    for found in base.__subclasses__():
        if not inspect.isabstract(found) and found.__module__.startswith(f"{PACKAGE}."):
            yield found
        yield from _concrete(found)
