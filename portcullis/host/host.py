"""`Host`: the arguments that all resources and components on a host share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Host:
    """The arguments about a host that its resources and components need.

    Attributes:
        alias: the host's name in the settings and in ssh_config; never an address.
        os: the host's operating system, such as "debian-13". Rendered files depend on the operating system.
            If the host runs another operating system, every change is refused.
        adopt: whether the first `up` may replace existing files and services that differ from their
            declaration.

    Raises:
        ArgumentsError: the alias or the operating system is not valid.
    """

    alias: str
    os: str = "debian-13"
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check the values now, because every resource would fail later with wrong values."""
        # This import is not at the top, because the provider imports this module but needs no pydantic.
        from portcullis.config.arguments import faults_in  # noqa: PLC0415
        from portcullis.config.faults import ArgumentsError  # noqa: PLC0415
        from portcullis.config.forms import Alias, Os  # noqa: PLC0415

        faults = [*faults_in(Alias, self.alias, "Host.alias"), *faults_in(Os, self.os, "Host.os")]
        if faults:
            raise ArgumentsError(faults)
