"""The data that provider and agent exchange about `Packages`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+\Z")
"""A package's name: two or more of lower case letters, digits, plus, minus, dot (Debian Policy 5.6.1)."""
INSTALLED = "installed"
"""The value of each package in the map `packages`."""


@dataclass(frozen=True)
class PackagesSpec(Spec):
    """The names of the packages to read."""

    names: Sequence[str]


@dataclass(frozen=True)
class PackagesDesired(Desired):
    """A set of packages as it is declared in the Pulumi program.

    Attributes:
        managed_by: the resource's URN. The host keeps, for each package, a list of the resources that declare
            it.
        packages: a map of each package's name to `INSTALLED`.
        on_delete: remove, purge or keep.
        never_purge: packages that `purge` only removes.
        recommends: whether to install recommended packages, too.
    """

    managed_by: str
    packages: Mapping[str, str]
    on_delete: str = "remove"
    never_purge: Sequence[str] = ()
    recommends: bool = False

    @property
    def id(self) -> str:
        """The set's owner, because several sets may contain the same packages."""
        return self.managed_by

    def spec(self) -> PackagesSpec:
        """Return the names of the packages as a spec."""
        return PackagesSpec(sorted(self.packages))


@dataclass(frozen=True)
class PackagesFacts(Facts):
    """A set of packages as it is on the host.

    The set itself always exists.

    Attributes:
        packages: the installed packages, each with `INSTALLED`.
    """

    packages: Mapping[str, str] = field(default_factory=dict)
