"""A host, as every part of it needs to know it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Host:
    """A host: what all its resources and components have in common.

    Attributes:
        alias: its name in the settings and in ssh_config; never an address.
        os: its operating system, such as "debian-13": what is rendered follows it, and the host is asked.
        adopt: the first `up` may take over what stands there and differs.

    Raises:
        ArgumentsError: naming every attribute that cannot be used.
    """

    alias: str
    os: str = "debian-13"
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail in each of its resources."""
        # Loaded by programs only: the plugin, which makes no host, does without pydantic.
        from portcullis.config.arguments import faults_in  # noqa: PLC0415
        from portcullis.config.faults import ArgumentsError  # noqa: PLC0415
        from portcullis.config.forms import Alias, Os  # noqa: PLC0415

        faults = faults_in(Alias, self.alias, "Host.alias") + faults_in(Os, self.os, "Host.os")
        if faults:
            raise ArgumentsError(faults)
