"""Settings of the inventory: undeclared items that may stay on a host."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from portcullis.components.inventory import inventory_keys
from portcullis.config.forms import Reason
from portcullis.config.section import Section
from portcullis.config.value_types import MapOf, Text

Found = Annotated[
    str,
    Text(
        "something on a host",
        inventory_keys.ACCEPTED,
        "copy the key from the preview's line, up to the colon, such as file /etc/foo or container leak",
    ),
]


class InventoryArgs(Section):
    """Undeclared items that may stay on a host."""

    what: ClassVar[str] = "an inventory"

    accept: MapOf[Found, Reason] = Field(default_factory=dict)
    """Undeclared items that may stay, each with a reason: `"file /etc/foo": the provider's agent`. Copy the
    key from the preview's line, up to the colon."""
