"""The description of each resource type, which the provider uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.plugins.docker_plugin.engine import Engine
    from lab.plugins.fields import Field
    from lab.plugins.values import Properties

# Terraform's time limits. Terraform's SDK stores the limits in the state of every resource that declares
# them.
TIMEOUTS = (
    '"e2bfb730-ecaa-11e6-8f88-34363bc7c4c0":'
    '{"create":1200000000000,"delete":1200000000000,"update":1200000000000}'
)


class Actions(Protocol):
    """The operations of one resource type. Each operation may raise PluginError."""

    def create(self, engine: Engine, inputs: Properties) -> tuple[str, Properties]:
        """Create the Docker object of this resource. Return the id and the facts of the new object."""

    def read(self, engine: Engine, id_: str, stored: Properties) -> tuple[str, Properties] | None:
        """Return the id and facts of the Docker object, or None if the object does not exist any more."""

    def update(self, engine: Engine, id_: str, stored: Properties, inputs: Properties) -> None:
        """Make the changes that are possible in place."""

    def delete(self, engine: Engine, id_: str, stored: Properties) -> None:
        """Remove the Docker object of this resource. A missing object is no error."""


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """A resource type."""

    fields: Mapping[str, Field]
    actions: Actions
    meta: str  # the private data of Terraform's SDK in the state
    autonamed: bool = False  # whether an unnamed object gets the resource's name with a random end
    delete_before_replace: bool = False
    refusal: Callable[[Properties], str] | None = (
        None  # returns the parts of inputs or state that the stand-in does not cover
    )
