"""The methods that each stand-in for a Pulumi plugin has. The module `servicer.py` serves them over gRPC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lab.plugins.diff import Difference
    from lab.plugins.fields import Problem
    from lab.plugins.values import Properties


@dataclass(frozen=True, slots=True)
class Target:
    """The resource of a call. `type` is the token, such as docker:index/container:Container."""

    urn: str
    type: str
    name: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to Diff: the differences, and the properties that never change in place (`stables`).

    With `repeats`, `replaces` names a property once for each of its differences.
    """

    differences: list[Difference]
    stables: list[str] = field(default_factory=list)
    delete_before_replace: bool = False
    detailed: bool = True
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to Read."""

    id: str
    state: Properties
    inputs: Properties


class Log(Protocol):
    """A function that shows a line to the user, at a resource or at the stack."""

    def __call__(self, message: str, urn: str = "", *, warning: bool = False) -> bool:
        """Send it to the engine, and return whether it got there."""


class Plugin(Protocol):
    """One stand-in for an official plugin.

    Every method may raise PluginError. If an error of the official plugin is recorded, the stand-in gives the
    same text.
    """

    package: str
    version: str
    no_handshake: str  # the official plugin's error for Handshake; "" if the plugin has a Handshake
    no_diff_config: str  # the official plugin's error for DiffConfig; "" if the plugin has it
    handshake: dict[str, bool]
    configured: dict[str, bool]

    def check_config(self, news: Properties) -> tuple[Properties, list[Problem]]: ...

    def configure(self, args: Properties) -> None: ...

    def check(
        self, target: Target, olds: Properties, news: Properties
    ) -> tuple[Properties, list[Problem]]: ...

    def diff(self, target: Target, olds: Properties, news: Properties) -> Answer: ...

    def create(self, target: Target, inputs: Properties, *, preview: bool) -> tuple[str, Properties]: ...

    def read(self, target: Target, state: Properties, inputs: Properties) -> Found | None: ...

    def update(self, target: Target, olds: Properties, news: Properties, *, preview: bool) -> Properties: ...

    def delete(self, target: Target, state: Properties) -> None: ...

    def close(self) -> None: ...
