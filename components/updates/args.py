"""How a host upgrades itself."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from portcullis.config.section import Section
from portcullis.config.value_types import Choice, Text

Reboot = Annotated[
    str,
    Text("a time of day", r"never|(?:[01][0-9]|2[0-3]):[0-5][0-9]", 'write "04:00", in quotes, or never'),
]
DockerRule = Annotated[Literal["hold", "upgrade"], Choice("a rule for Docker")]


class UpdatesArgs(Section):
    """Unattended security upgrades."""

    what: ClassVar[str] = "updates"

    reboot: Reboot = "04:00"
    """When the host may reboot after an update that needs it (its own time zone), or `never`."""
    docker: DockerRule = "upgrade"
    """Whether Docker is upgraded with the rest, which restarts the engine and leaves containers running, or
    left to you (`hold`)."""
