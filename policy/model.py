"""The types of a policy, of the resources that it checks, and of its findings, without Pulumi's SDK."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Severity = Literal["stop", "warn", "off"]
"""`stop` fails a preview and an update, `warn` only prints a message, `off` disables the policy."""


class _Unknown:
    """A value that is not known in a preview.

    Policies ignore such a value until the update, which knows it.
    """

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as the engine passes it to a policy pack.

    Attributes:
        type: the type token, such as docker:index/container:Container.
        name: the resource's name in the program.
        urn: its URN.
        props: its properties, without secret marks. A value that is not known yet is UNKNOWN.
        protect: whether the engine refuses its deletion.
    """

    type: str
    name: str
    urn: str = ""
    props: Mapping[str, Any] = field(default_factory=dict)
    protect: bool = False

    @property
    def kind(self) -> str:
        """The last part of the type, such as Container, File or UfwPolicy."""
        return self.type.rpartition(":")[2]

    def is_container(self) -> bool:
        """Return whether the resource is a container of the docker provider."""
        return self.type == "docker:index/container:Container"

    def is_host(self, kind: str) -> bool:
        """Return whether the resource is a host resource of this kind."""
        return self.type == f"portcullis:index:{kind}"

    def text(self, key: str) -> str:
        """Return the value of a property that is text; "" if the value is unknown, missing or no text."""
        value = self.props.get(key)
        return value if isinstance(value, str) else ""

    def items(self, key: str) -> list[Mapping[str, Any]]:
        """Return the objects in a property that is a list, without unknown objects."""
        value = self.props.get(key)
        return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

    def texts(self, key: str) -> list[str]:
        """Return the texts in a property that is a list, without unknown texts."""
        value = self.props.get(key)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def unknown(self, key: str) -> bool:
        """Return whether a property, or a part of it, is known only in an update."""
        return holds_unknown(self.props.get(key))


def holds_unknown(value: object) -> bool:
    """Return whether a value, or a part of it, is unknown."""
    if isinstance(value, dict):
        return any(map(holds_unknown, value.values()))
    return any(map(holds_unknown, value)) if isinstance(value, list) else value is UNKNOWN


@dataclass(frozen=True, slots=True)
class Found:
    """One violation of a policy, and its resource.

    Without a resource, the violation is about the whole stack.
    """

    what: str
    resource: Resource | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One rule, with explanations for people.

    Attributes:
        name: the policy's name in settings and messages.
        rule: the rule in one sentence.
        why: the danger if the rule is broken.
        fix: what to do about a violation, in one or more sentences.
        check: yields the violations of one resource; None for a policy about the whole stack.
        check_stack: yields the violations of all resources together.
        severity: the default severity.
    """

    name: str
    rule: str
    why: str
    fix: str
    check: Callable[[Resource], Iterable[str]] | None = None
    check_stack: Callable[[list[Resource]], Iterable[Found]] | None = None
    severity: Severity = "stop"

    def __post_init__(self) -> None:
        """Require exactly one of `check` and `check_stack`."""
        if (self.check is None) == (self.check_stack is None):
            raise ValueError(
                f"the policy {self.name} must have either `check` or `check_stack`, and not both"
            )

    def found(self, resources: list[Resource]) -> Iterator[Found]:
        """Yield all violations of this policy."""
        if self.check_stack is not None:
            yield from self.check_stack(resources)
        elif self.check is not None:
            for resource in resources:
                yield from (Found(what, resource) for what in self.check(resource))
