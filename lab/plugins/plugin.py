"""What a stand-in is, in plain Python; `servicer.py` puts it on the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lab.plugins.diff import Difference
    from lab.plugins.fields import Problem
    from lab.plugins.values import Properties


@dataclass(frozen=True, slots=True)
class Target:
    """The resource that a call is about. `type` is the token, such as docker:index/container:Container."""

    urn: str
    type: str
    name: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to Diff: what differs, and which properties can never change in place (`stables`)."""

    differences: list[Difference]
    stables: list[str] = field(default_factory=list)
    delete_before_replace: bool = False
    detailed: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to Read."""

    id: str
    state: Properties
    inputs: Properties


class Log(Protocol):
    """Shows a line to the user, at the resource or at the stack."""

    def __call__(self, message: str, urn: str = "", *, warning: bool = False) -> bool:
        """Send it to the engine, and return whether it got there."""


class Plugin(Protocol):
    """One stand-in. Every method may raise PluginError; the words of recorded errors are kept."""

    package: str
    version: str
    no_handshake: str  # why there is none, in the official plugin's words; empty when there is one
    no_diff_config: str  # likewise
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
