"""What the provider of one kind of resource is, and what its answers are."""

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
    """The inputs in their one spelling, and every fault among them."""

    inputs: Props
    failures: list[CheckFailure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DiffResult:
    """What a difference means.

    Attributes:
        changes: whether there is one; None lets the engine compare the inputs, which prints best.
        replaces: inputs whose change makes another thing.
        delete_before_replace: delete the old thing before the new one is made.
    """

    changes: bool | None = None
    replaces: list[str] = field(default_factory=list)
    delete_before_replace: bool = False


@dataclass(frozen=True, slots=True)
class CreateResult:
    """The id of a new thing, and all its outputs."""

    id: str
    outs: Props


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What is there now, as outputs and as inputs. The engine shows drift by comparing inputs.

    Attributes:
        secrets: those of both that are secret. Only for a thing that is in no state yet: of any other the
            engine marks again what the state has as a secret.
    """

    id: str
    outs: Props
    inputs: Props
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """All outputs of a changed thing."""

    outs: Props


class Provider(ABC):
    """The provider of one kind of resource. Its methods run in many threads at once; it has no state.

    The resource's class stands in the same module. `FileProvider` serves the class `File`, which the engine
    knows as `portcullis:index:File`.
    """

    secrets: ClassVar[tuple[str, ...]] = ()
    """Inputs and outputs that are always secret."""
    sets: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Inputs that are sets. In state each is a map from its members to this word: one more is one line."""

    section: ClassVar[Section] = Section.REST
    """What a report sorts its differences under."""

    @classmethod
    def type_name(cls) -> str:
        """Return the resource's name, such as File."""
        return cls.__name__.removesuffix("Provider")

    @classmethod
    def type_token(cls) -> str:
        """Return the resource's type, such as portcullis:index:File."""
        return f"{PACKAGE}:index:{cls.type_name()}"

    @abstractmethod
    def check(self, olds: Props, news: Props) -> CheckResult:
        """Bring inputs into their one spelling; some may be unknown. Never connects."""

    @abstractmethod
    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Compare the state's outputs with checked inputs; some may be unknown. Never connects."""

    @abstractmethod
    def create(self, props: Props) -> CreateResult:
        """Make the thing."""

    @abstractmethod
    def read(self, id_: str, props: Props) -> ReadResult:
        """Read the thing that the state's outputs describe."""

    @abstractmethod
    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Change the thing."""

    @abstractmethod
    def delete(self, id_: str, props: Props) -> None:
        """Take the thing away."""

    @abstractmethod
    def import_(self, id_: str, urn: str) -> ReadResult | None:
        """Read a thing that is in no state yet, for `pulumi import`; None where there is none of that id.

        Raises:
            Exception: this kind, or this id, cannot be imported.
        """

    def lines(self, change: Change) -> list[Line]:
        """Say for people what is different about a resource, one line for each thing. Never connects."""
        return [plain(change, change.name)]


def import_kinds(*packages: str) -> None:
    """Import every module that has kinds: `resource`, a module or a package, in the folder of each part.

    Args:
        packages: the folders of parts; all of them by default.
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
    """Return every provider of this package whose module is imported, by the resource's type."""
    return {found.type_token(): found for found in _concrete(Provider)}


def _concrete(base: type[Any]) -> Iterator[type[Provider]]:
    for found in base.__subclasses__():
        if not inspect.isabstract(found) and found.__module__.startswith(f"{PACKAGE}."):
            yield found
        yield from _concrete(found)
