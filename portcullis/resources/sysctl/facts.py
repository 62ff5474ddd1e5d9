"""What both halves of `Sysctl` exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

STATIC = "<static>"
"""Stands in a key for every interface with a static IPv6 default route, which no router has sent."""


@dataclass(frozen=True)
class SysctlSpec(Spec):
    """Which settings to look at.

    Attributes:
        path: the file of the settings.
        values: key to declared value. A key that applies to nothing on this host counts as declared.
        optional: keys that a kernel may have been built without.
    """

    path: str
    values: Mapping[str, str]
    optional: Sequence[str] = ()


@dataclass(frozen=True)
class SysctlDesired(Desired):
    """Kernel settings as they are declared.

    Attributes:
        path: absolute path of the file of the settings.
        values: key to value. `*` in a key stands for every interface that no other key names, `STATIC` for
            every interface with a static IPv6 default route.
        content: the text of the file.
        owner: user name of the file.
        group: group name of the file.
        mode: permission bits of the file, four octal digits.
        optional: keys that a kernel may have been built without.
    """

    path: str
    values: Mapping[str, str]
    content: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"
    optional: Sequence[str] = ()

    @property
    def id(self) -> str:
        """The path of the file."""
        return self.path

    def spec(self) -> SysctlSpec:
        """Return which settings to look at."""
        return SysctlSpec(self.path, self.values, sorted(self.optional))


@dataclass(frozen=True)
class SysctlFacts(Facts):
    """Kernel settings as they are. Every kernel has some.

    Attributes:
        values: key to live value. For several interfaces: the most frequent value, then the interfaces that
            differ.
        overridden: key to the value that wins at the next boot, with the file that sets it.
        content: the text of the file.
        owner: user name of the file.
        group: group name of the file.
        mode: permission bits of the file, four octal digits. For a missing file, all four are `<absent>`.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    overridden: Mapping[str, str] = field(default_factory=dict)
    content: str = ""
    owner: str = ""
    group: str = ""
    mode: str = ""
