"""The data that provider and agent exchange about `Sysctl`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

STATIC = "<static>"
"""In a key, this text means every interface with a static IPv6 default route, which no router has sent."""


@dataclass(frozen=True)
class SysctlSpec(Spec):
    """The kernel settings to read.

    Attributes:
        path: the file of the settings.
        values: the declared values, by key. A key that applies to nothing on this host counts as declared.
        optional: keys that some kernels do not have; a missing one is no error.
    """

    path: str
    values: Mapping[str, str]
    optional: Sequence[str] = ()


@dataclass(frozen=True)
class SysctlDesired(Desired):
    """Kernel settings as they are declared in the Pulumi program.

    Attributes:
        path: absolute path of the file of the settings.
        values: the values, by key. In a key, `*` means every interface that no other key names, and `STATIC`
            every interface with a static IPv6 default route.
        content: the text of the file.
        owner: user name of the file.
        group: group name of the file.
        mode: permission bits of the file, four octal digits.
        optional: keys that some kernels do not have; a missing one is no error.
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
        """Return the kernel settings as a spec."""
        return SysctlSpec(self.path, self.values, sorted(self.optional))


@dataclass(frozen=True)
class SysctlFacts(Facts):
    """Kernel settings as they are on the host.

    Every kernel has settings, so they always exist.

    Attributes:
        values: the live values, by key. For several interfaces, the most frequent value comes first, then the
            interfaces that differ.
        overridden: for each key, another value that wins at the next boot, with the file that sets it.
        content: the text of the file.
        owner: user name of the file.
        group: group name of the file.
        mode: permission bits of the file, four octal digits. For a missing file, content, owner, group and
            mode are `<absent>`.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    overridden: Mapping[str, str] = field(default_factory=dict)
    content: str = ""
    owner: str = ""
    group: str = ""
    mode: str = ""
