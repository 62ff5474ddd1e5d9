"""What a host exposes beside what is declared."""

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
        "copy it from the line of difference, without its owner, such as udp4 0.0.0.0:5353 or network "
        "monitoring",
    ),
]


class ExposureArgs(Section):
    """What a host may expose beside what is declared."""

    what: ClassVar[str] = "an exposure"

    accept: MapOf[Exposed, Reason] = Field(default_factory=dict)
    """What may listen, be published or be let through beside what is declared, and why:
    `"udp4 0.0.0.0:5353": mDNS for a printer`. Copy the key from the line of difference."""
