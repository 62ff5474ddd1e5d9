"""The data that both halves of `ForwardFilter` and `UfwPolicy` exchange, and the names that both use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from portcullis.agent.wire import Desired, Facts, Spec

TABLE = "inet portcullis"
"""Family and name of the forward filter's nftables table."""
INPUT = f"{TABLE} input"
"""The chain that guards the host's own sockets."""
UNIT = "portcullis-filter.service"
"""The unit that loads the table at every boot."""
ENABLED = "enabled"
"""systemd's word for a unit that starts at boot."""
PERMISSIONS = "root root 0644"
"""Owner, group and mode of the table's file and of the unit."""


def open_port(protocol: str, ports: str) -> str:
    """Return the rule of `INPUT` that opens a port or a range to everybody."""
    return f"{protocol} dport {ports} accept"


UFW = "ufw"
"""The id of a host's one policy."""
SHIPPED = ("after.init", "after.rules", "after6.rules", "before.init", "before.rules", "before6.rules")
"""Files that the package ships and ufw never changes. The .init files run at each start if executable."""
DEFAULTS: Mapping[str, str] = {"incoming": "deny", "outgoing": "allow", "routed": "deny"}
"""What happens to packets that no rule matches, by direction, as the package installs it."""
# IPV6=no would make ufw block all IPv6, also SSH. MANAGE_BUILTINS=yes would make it flush Docker's rules.
# IPT_SYSCTL names the file of kernel parameters that Firewall declares.
SETTINGS: Mapping[str, str] = {
    "IPV6": "yes",
    "IPT_SYSCTL": "/etc/ufw/sysctl.conf",
    "MANAGE_BUILTINS": "no",
}
"""Variables of /etc/default/ufw that we declare, with our values."""


@dataclass(frozen=True)
class ForwardFilterSpec(Spec):
    """An empty spec, because a host has only one filter."""


@dataclass(frozen=True)
class ForwardFilterDesired(Desired):
    """The declared forward filter.

    Attributes:
        table: the table as nft lists it.
        file: text of the file that loads it.
        unit: text of the unit.
        boot: `ENABLED`.
        permissions: `PERMISSIONS`.
    """

    table: str
    file: str
    unit: str
    boot: str
    permissions: str

    @property
    def id(self) -> str:
        """The name of the table."""
        return TABLE

    def spec(self) -> ForwardFilterSpec:
        """Return the empty spec."""
        return ForwardFilterSpec()


@dataclass(frozen=True)
class ForwardFilterFacts(Facts):
    """The forward filter on the host. `wire.ABSENT` stands for a missing text.

    Attributes:
        table: the table in the kernel.
        file: text of its file.
        unit: text of its unit.
        boot: systemd's word for whether the unit starts at boot.
        permissions: owner, group and mode of the file and the unit. If one of the two differs from
            `PERMISSIONS`, the values of that one.
        conflict: the unit that would flush the table, as a text for people; "" if there is none.
    """

    table: str = ""
    file: str = ""
    unit: str = ""
    boot: str = ""
    permissions: str = ""
    conflict: str = ""


@dataclass(frozen=True)
class UfwPolicySpec(Spec):
    """How to read the host's one policy.

    Attributes:
        custom: the files of `SHIPPED` that somebody else manages, sorted.
    """

    custom: Sequence[str]


@dataclass(frozen=True)
class UfwPolicyDesired(Desired):
    """The declared policy of ufw.

    Attributes:
        enabled: ufw runs, now and after a boot.
        logging: its log level.
        defaults: what happens to packets that no rule matches: direction to action.
        rules: each rule's match to its action, in the spelling of `ufw_names`.
        settings: `SETTINGS`.
        custom_files: the files of `SHIPPED` that somebody else manages. The others have to be as shipped.
    """

    enabled: bool
    logging: str
    defaults: Mapping[str, str]
    rules: Mapping[str, str]
    settings: Mapping[str, str]
    custom_files: Optional[Sequence[str]] = None

    @property
    def id(self) -> str:
        """Always `UFW`: a host has one policy."""
        return UFW

    def spec(self) -> UfwPolicySpec:
        """Return the spec, which names the custom files."""
        return UfwPolicySpec(sorted(self.custom_files or ()))


@dataclass(frozen=True)
class UfwPolicyFacts(Facts):
    """The policy of ufw on the host.

    Attributes:
        enabled: ufw's configuration says that it runs and starts at boot.
        logging: its log level.
        defaults: what happens to packets that no rule matches: direction to action.
        rules: each rule's match to its action, without the rules of the SSH server.
        settings: the present values of the keys of `SETTINGS`.
        altered: files that are not as shipped: name to ``changed`` or ``absent``.
        order: ``ok``, or two rules in the wrong order.
        live: ``ok``, or how the kernel's rules differ from ufw's files.
    """

    enabled: bool = False
    logging: str = ""
    defaults: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    altered: Mapping[str, str] = field(default_factory=dict)
    order: str = ""
    live: str = ""
