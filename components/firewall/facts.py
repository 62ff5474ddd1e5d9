"""The data that the resource providers and the agent exchange about `ForwardFilter` and `UfwPolicy`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
    """Return the rule of the chain `INPUT` that opens a port, or a range of ports, to everybody."""
    return f"{protocol} dport {ports} accept"


UFW = "ufw"
"""The id of a host's one policy."""
SHIPPED = ("after.init", "after.rules", "after6.rules", "before.init", "before.rules", "before6.rules")
"""Files that the package ships and ufw never changes. The .init files run at each start if executable."""
DEFAULTS: Mapping[str, str] = {"incoming": "deny", "outgoing": "allow", "routed": "deny"}
"""What happens to packets that no rule matches, by direction, as the package installs it."""
# With IPV6=no, ufw would block all IPv6, also SSH. With MANAGE_BUILTINS=yes, ufw would flush Docker's rules.
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
        """The name of the table, which is the id of the filter."""
        return TABLE

    def spec(self) -> ForwardFilterSpec:
        """Return the empty spec."""
        return ForwardFilterSpec()


@dataclass(frozen=True)
class ForwardFilterFacts(Facts):
    """The forward filter on the host. A missing text has the value `wire.ABSENT`.

    Attributes:
        table: the table in the kernel, with aliases instead of the addresses that belong to them.
        file: the text of the file that loads the table, with the same aliases.
        unit: the text of the unit that loads the file.
        boot: systemd's word for whether the unit starts at boot.
        permissions: owner, group and mode of the file and the unit. If the file or the unit differs from
            `PERMISSIONS`, the value is that of the differing file.
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
    """The spec by which the agent reads ufw's policy. A host has only one policy.

    Attributes:
        custom: the files of `SHIPPED` that somebody else manages, sorted.
    """

    custom: Sequence[str]


@dataclass(frozen=True)
class UfwPolicyDesired(Desired):
    """The declared policy of ufw.

    Attributes:
        enabled: whether ufw runs, now and after a boot.
        logging: ufw's log level.
        defaults: the action for packets that no rule matches, by direction.
        rules: a map of each rule's match to its action, in the spelling of `ufw_names`.
        settings: the value is always `SETTINGS`.
        custom_files: the files of `SHIPPED` that somebody else manages. All other files of `SHIPPED` must be
            unchanged.
    """

    enabled: bool
    logging: str
    defaults: Mapping[str, str]
    rules: Mapping[str, str]
    settings: Mapping[str, str]
    custom_files: Sequence[str] | None = None

    @property
    def id(self) -> str:
        """The id is always `UFW`, because a host has only one policy."""
        return UFW

    def spec(self) -> UfwPolicySpec:
        """Return the spec of the policy, with the names of the custom files."""
        return UfwPolicySpec(sorted(self.custom_files or ()))


@dataclass(frozen=True)
class UfwPolicyFacts(Facts):
    """The policy of ufw on the host.

    Attributes:
        enabled: whether ufw's configuration says that ufw runs and starts at boot.
        logging: ufw's log level.
        defaults: the action for packets that no rule matches, by direction.
        rules: a map of each rule's match to its action, without the rules of the SSH server.
        settings: the present values of the keys of `SETTINGS`.
        altered: files that differ from the package's files: name to ``changed`` or ``absent``.
        order: ``ok``, or two rules in the wrong order.
        live: ``ok``, or the differences between the kernel's rules and ufw's files.
    """

    enabled: bool = False
    logging: str = ""
    defaults: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    altered: Mapping[str, str] = field(default_factory=dict)
    order: str = ""
    live: str = ""
