"""What a policy is, what it judges, and what it finds. Nothing here knows Pulumi's SDK."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Severity = Literal["stop", "warn", "off"]
"""`stop` fails a preview and an update, `warn` is only told, `off` is not judged."""


class _Unknown:
    """A value that only a provider knows, in a preview. Nothing is judged by it; an update knows it."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as the engine gives it to a policy pack.

    Attributes:
        type: the type token, such as docker:index/container:Container.
        name: the resource's name in the program.
        urn: its whole name.
        props: its properties without the marks of secrets; what is not known yet is UNKNOWN.
        protect: whether the engine is known to refuse its deletion.
    """

    type: str
    name: str
    urn: str = ""
    props: Mapping[str, Any] = field(default_factory=dict)
    protect: bool = False

    @property
    def kind(self) -> str:
        """The last part of the type: Container, File, UfwPolicy."""
        return self.type.rpartition(":")[2]

    def is_container(self) -> bool:
        """Tell whether it is a container of Docker's provider."""
        return self.type == "docker:index/container:Container"

    def is_host(self, kind: str) -> bool:
        """Tell whether it is a host resource of a kind."""
        return self.type == f"portcullis:index:{kind}"

    def text(self, key: str) -> str:
        """Give a property that is text, "" where it is something else, unknown or missing."""
        value = self.props.get(key)
        return value if isinstance(value, str) else ""

    def items(self, key: str) -> list[Mapping[str, Any]]:
        """Give the objects of a list that is a property; what of it is unknown is left out."""
        value = self.props.get(key)
        return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

    def texts(self, key: str) -> list[str]:
        """Give the texts of a list that is a property; what of it is unknown is left out."""
        value = self.props.get(key)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def unknown(self, key: str) -> bool:
        """Tell whether a property, or a part of it, is only known in an update."""
        return holds_unknown(self.props.get(key))


def holds_unknown(value: object) -> bool:
    """Tell whether a value is unknown, or anything in it."""
    if isinstance(value, dict):
        return any(map(holds_unknown, value.values()))
    return any(map(holds_unknown, value)) if isinstance(value, list) else value is UNKNOWN


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that a policy does not allow: in which resource, and what. None is the stack as a whole."""

    what: str
    resource: Resource | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One rule, with what a newcomer needs to know about it.

    Attributes:
        name: how settings and messages call it.
        rule: what has to be so, in one sentence.
        why: what happens otherwise.
        fix: what to write instead.
        check: gives what is wrong with one resource; None for a policy about the stack as a whole.
        check_stack: gives what is wrong with all resources together.
        severity: what happens where the settings say nothing else.
    """

    name: str
    rule: str
    why: str
    fix: str
    check: Callable[[Resource], Iterable[str]] | None = None
    check_stack: Callable[[list[Resource]], Iterable[Found]] | None = None
    severity: Severity = "stop"

    def __post_init__(self) -> None:
        """A policy is about one resource or about all of them."""
        if (self.check is None) == (self.check_stack is None):
            raise ValueError(f"{self.name} needs check or check_stack, and not both")

    def found(self, resources: list[Resource]) -> Iterator[Found]:
        """Give everything that this policy does not allow in some resources."""
        if self.check_stack is not None:
            yield from self.check_stack(resources)
        elif self.check is not None:
            for resource in resources:
                yield from (Found(what, resource) for what in self.check(resource))
