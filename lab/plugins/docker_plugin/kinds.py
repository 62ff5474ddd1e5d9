"""What the provider needs to know of each resource type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.plugins.docker_plugin.engine import Engine
    from lab.plugins.fields import Field
    from lab.plugins.values import Properties

# How long Terraform may take, which its SDK notes in the state of every resource that declares it.
TIMEOUTS = (
    '"e2bfb730-ecaa-11e6-8f88-34363bc7c4c0":'
    '{"create":1200000000000,"delete":1200000000000,"update":1200000000000}'
)


class Actions(Protocol):
    """The work of one resource type. All raise PluginError."""

    def create(self, engine: Engine, inputs: Properties) -> tuple[str, Properties]:
        """Make it; answer its id and its facts."""

    def read(self, engine: Engine, id_: str, stored: Properties) -> tuple[str, Properties] | None:
        """Its id and facts, or None when it is gone."""

    def update(self, engine: Engine, id_: str, stored: Properties, inputs: Properties) -> None:
        """Change in place what can be."""

    def delete(self, engine: Engine, id_: str, stored: Properties) -> None:
        """Remove it; one that is gone already is no error."""


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """A resource type."""

    fields: Mapping[str, Field]
    actions: Actions
    meta: str  # what Terraform's SDK keeps for itself in the state
    autonamed: bool = False  # given no name, it gets the resource's with a random end
    delete_before_replace: bool = False
    refusal: Callable[[Properties], str] | None = None  # says what of given inputs or state is not covered
