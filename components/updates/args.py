"""The settings section for a host's automatic upgrades."""

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
    """The time at which the host reboots if an update needs a reboot, in the host's time zone, or `never`."""
    docker: DockerRule = "upgrade"
    """`upgrade` upgrades Docker together with the other packages. An upgrade of Docker restarts the engine,
    while containers keep running. With `hold`, you upgrade Docker yourself."""
