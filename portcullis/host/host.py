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
    """

    alias: str
    os: str = "debian-13"
    adopt: bool = False
