"""What both halves of `Packages` exchange."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+\Z")
"""A package's name: two or more of lower case letters, digits, plus, minus, dot (Debian Policy 5.6.1)."""
INSTALLED = "installed"
"""The value of each package of a set."""


@dataclass(frozen=True)
class PackagesSpec(Spec):
    """Which packages to look at."""

    names: Sequence[str]


@dataclass(frozen=True)
class PackagesDesired(Desired):
    """A set of packages as it is declared.

    Attributes:
        managed_by: the resource's URN. Each package on the host has a list of the resources that want it.
        packages: names, each with `INSTALLED`.
        on_delete: remove, purge or keep.
        never_purge: packages that `purge` only removes.
        recommends: install the packages that they recommend, too.
    """

    managed_by: str
    packages: Mapping[str, str]
    on_delete: str = "remove"
    never_purge: Sequence[str] = ()
    recommends: bool = False

    @property
    def id(self) -> str:
        """Its owner, because several sets may have the same names."""
        return self.managed_by

    def spec(self) -> PackagesSpec:
        """Return which packages to look at."""
        return PackagesSpec(sorted(self.packages))


@dataclass(frozen=True)
class PackagesFacts(Facts):
    """A set of packages as it is. The set itself always exists.

    Attributes:
        packages: the installed packages, each with `INSTALLED`.
    """

    packages: Mapping[str, str] = field(default_factory=dict)
