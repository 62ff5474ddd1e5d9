"""What may be on a host beside what is declared."""

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
        "copy it from the line of difference, up to the colon, such as file /etc/foo or container leak",
    ),
]


class InventoryArgs(Section):
    """What may be on a host beside what is declared."""

    what: ClassVar[str] = "an inventory"

    accept: MapOf[Found, Reason] = Field(default_factory=dict)
    """What may be there beside what is declared, and why: `"file /etc/foo": the provider's agent`. Copy the
    key from the line of difference."""
