"""What both halves of `Sysctl` exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

STATIC = "<static>"
"""Stands in a key for every interface with an IPv6 default route of its own, that no router has sent."""


@dataclass(frozen=True)
class SysctlSpec(Spec):
    """Which settings to look at.

    Attributes:
        path: their file.
        values: each key with its declared value: some keys show only where they differ.
        optional: those of the keys that a kernel may have been built without.
    """

    path: str
    values: Mapping[str, str]
    optional: Sequence[str] = ()


@dataclass(frozen=True)
class SysctlDesired(Desired):
    """Kernel settings as they are declared.

    Attributes:
        path: absolute path of their file.
        values: key to value. `*` in a key stands for every interface that no other key names, `STATIC` for
            those with an IPv6 default route of their own.
        content: the text of the file.
        owner: user name of the file.
        group: group name of the file.
        mode: permission bits of the file, four octal digits.
        optional: those of the keys that a kernel may have been built without.
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
        """The path of their file."""
        return self.path

    def spec(self) -> SysctlSpec:
        """Return which settings to look at."""
        return SysctlSpec(self.path, self.values, sorted(self.optional))


@dataclass(frozen=True)
class SysctlFacts(Facts):
    """Kernel settings as they are; there always are some.

    Attributes:
        values: key to live value. Where `*` stands for several interfaces: what most of them have, then those
            that differ.
        overridden: key to the value that wins at the next boot, and the file that sets it.
        content: the text of the file.
        owner: user name of the file.
        group: group name of the file.
        mode: permission bits of the file, four octal digits. All four say `<absent>` where it is missing.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    overridden: Mapping[str, str] = field(default_factory=dict)
    content: str = ""
    owner: str = ""
    group: str = ""
    mode: str = ""
