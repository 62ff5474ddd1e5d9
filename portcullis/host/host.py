"""`Host`: the facts about a host that all its parts need."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Host:
    """A host: the arguments that all its resources and components share.

    Attributes:
        alias: its name in the settings and in ssh_config; never an address.
        os: its operating system, such as "debian-13". Rendered files depend on it. If the host runs another
            one, every change is refused.
        adopt: let the first `up` replace existing things that differ from their declaration.

    Raises:
        ArgumentsError: the alias or the operating system is not valid.
    """

    alias: str
    os: str = "debian-13"
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check the values now, because every resource would fail on them later."""
        # Not at the top: the provider imports this module, but needs no pydantic.
        from portcullis.config.arguments import faults_in  # noqa: PLC0415
        from portcullis.config.faults import ArgumentsError  # noqa: PLC0415
        from portcullis.config.forms import Alias, Os  # noqa: PLC0415

        faults = [*faults_in(Alias, self.alias, "Host.alias"), *faults_in(Os, self.os, "Host.os")]
        if faults:
            raise ArgumentsError(faults)
