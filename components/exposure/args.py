"""Settings of exposure: undeclared listeners, ports and firewall rules that may stay."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from portcullis.components.exposure import exposure_keys
from portcullis.config.forms import Reason
from portcullis.config.section import Section
from portcullis.config.value_types import MapOf, Text

Exposed = Annotated[
    str,
    Text(
        "something that a host exposes",
        exposure_keys.ACCEPTED,
        "copy the key from the preview, without the owner, such as udp4 0.0.0.0:5353 or network monitoring",
    ),
]


class ExposureArgs(Section):
    """Exposed ports, networks and rules that a host may have although no other setting declares them."""

    what: ClassVar[str] = "an exposure"

    accept: MapOf[Exposed, Reason] = Field(default_factory=dict)
    """Undeclared listeners, published ports, networks and firewall rules that may stay, each with a reason:
    `"udp4 0.0.0.0:5353": mDNS for a printer`. Copy the key from the preview's line, without the owner."""
