"""The declaration of `Sysctl`, and the data that provider and agent exchange about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.declared import (
    DERIVED,
    MODE,
    PATH,
    TEXT,
    Asked,
    Declaration,
    DeclaredDesired,
    DeclaredSpec,
    Prop,
    ReadBack,
    own,
    prop,
)
from portcullis.agent.wire import Facts

STATIC = "<static>"
"""In a key, this text means every interface with a static IPv6 default route, which no router has sent."""


class SysctlProps(
    Declaration,
    adopt="take over a file that exists and differs, and values that an administrator's file sets to "
    "something else.",
):
    """The properties of kernel settings."""

    values: Asked[Mapping[str, str], dict[str, str]] = prop()
    """the values, by key, such as "net.ipv4.tcp_syncookies". In a key, `*` means every interface that no
    other key names. `<static>` means every interface with a static IPv6 default route, which no router has
    sent."""
    path: Asked[str] = prop(default="/etc/sysctl.d/99-zz-portcullis.conf", form=PATH, identity=True)
    """the file of the settings, /etc/sysctl.d/*.conf. If several files set a key, the last name in the
    alphabet wins."""
    content: Prop[str | None, str] = prop(default=DERIVED, form=TEXT)
    """the text of the file, for example with comments; by default one line for each value."""
    optional: Asked[Sequence[str]] = prop(default=(), omit=True)
    """keys that some kernels do not have; a missing one is no error."""
    owner: Prop[str] = own(want="root", form=TEXT)
    """user name of the file."""
    group: Prop[str] = own(want="root", form=TEXT)
    """group name of the file."""
    mode: Prop[str] = own(want="0644", form=MODE)
    """permission bits of the file, four octal digits."""
    overridden: ReadBack[dict[str, str]] = own(want={})
    """for each key, another value that wins at the next boot, with the file that sets it."""


class SysctlSpec(SysctlProps, DeclaredSpec):
    """The kernel settings to read. A key that applies to nothing on this host counts as declared."""


class SysctlDesired(SysctlProps, DeclaredDesired):
    """Kernel settings as they are declared in the Pulumi program."""

    spec_type = SysctlSpec


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
