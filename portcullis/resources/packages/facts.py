"""What both halves of `Packages` exchange."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+\Z")
"""A package's name: lower case letters, digits, plus, minus and dots; two at least (Debian Policy 5.6.1)."""
INSTALLED = "installed"
"""What each package of a set is."""


@dataclass(frozen=True)
class PackagesSpec(Spec):
    """Which packages to look at."""

    names: Sequence[str]


@dataclass(frozen=True)
class PackagesDesired(Desired):
    """A set of packages as it is declared.

    Attributes:
        managed_by: the resource's URN: each package on the host keeps the list of those who want it.
        packages: names, each with `INSTALLED`.
        on_delete: remove, purge or keep.
        never_purge: those that purge only removes.
        recommends: install what they recommend too.
    """

    managed_by: str
    packages: Mapping[str, str]
    on_delete: str = "remove"
    never_purge: Sequence[str] = ()
    recommends: bool = False

    @property
    def id(self) -> str:
        """Its owner: names may be in several sets."""
        return self.managed_by

    def spec(self) -> PackagesSpec:
        """Return which packages to look at."""
        return PackagesSpec(sorted(self.packages))


@dataclass(frozen=True)
class PackagesFacts(Facts):
    """A set of packages as it is; the set itself is always there.

    Attributes:
        packages: those that are installed, each with `INSTALLED`.
    """

    packages: Mapping[str, str] = field(default_factory=dict)
