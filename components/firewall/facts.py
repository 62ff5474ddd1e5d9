"""What both halves of `ForwardFilter` and `UfwPolicy` exchange, and the words and paths that both use."""

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
"""What systemd says of a unit that starts at boot."""
PERMISSIONS = "root root 0644"
"""Owner, group and mode of the table's file and of the unit."""


def open_port(protocol: str, ports: str) -> str:
    """Return the rule of `INPUT` that lets in a port or a range, from everywhere."""
    return f"{protocol} dport {ports} accept"


UFW = "ufw"
"""The id of a host's one policy."""
SHIPPED = ("after.init", "after.rules", "after6.rules", "before.init", "before.rules", "before6.rules")
"""Files that the package brings and ufw never changes. Those in .init run at each start if executable."""
DEFAULTS: Mapping[str, str] = {"incoming": "deny", "outgoing": "allow", "routed": "deny"}
"""What happens to packets that no rule matches, by direction, as the package installs it."""
# Without IPV6, ufw closes IPv6 altogether, SSH too. With MANAGE_BUILTINS, it flushes what Docker wrote. The
# kernel parameters are those that Firewall declares.
SETTINGS: Mapping[str, str] = {
    "IPV6": "yes",
    "IPT_SYSCTL": "/etc/ufw/sysctl.conf",
    "MANAGE_BUILTINS": "no",
}
"""Variables of /etc/default/ufw that we declare, with our values."""


@dataclass(frozen=True)
class ForwardFilterSpec(Spec):
    """Nothing: a host has one filter."""


@dataclass(frozen=True)
class ForwardFilterDesired(Desired):
    """The forward filter as it is declared.

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
        """The table's name."""
        return TABLE

    def spec(self) -> ForwardFilterSpec:
        """Return nothing."""
        return ForwardFilterSpec()


@dataclass(frozen=True)
class ForwardFilterFacts(Facts):
    """The forward filter as it is; `wire.ABSENT` stands for a text that is not there.

    Attributes:
        table: the table as the kernel has it.
        file: text of its file.
        unit: text of its unit.
        boot: whether the unit starts at boot, in systemd's word.
        permissions: owner, group and mode of file and unit, of the one that differs where one does.
        conflict: what flushes the table, for people; "" where nothing does.
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
        custom: those of `SHIPPED` that somebody else changes, sorted.
    """

    custom: Sequence[str]


@dataclass(frozen=True)
class UfwPolicyDesired(Desired):
    """ufw's policy as it is declared.

    Attributes:
        enabled: ufw runs, now and after a boot.
        logging: its log level.
        defaults: what happens to packets that no rule matches: direction to action.
        rules: what a rule matches to what it does, in the spelling of `ufw_names`.
        settings: `SETTINGS`.
        custom_files: those of `SHIPPED` that somebody else changes; the others have to be as shipped.
    """

    enabled: bool
    logging: str
    defaults: Mapping[str, str]
    rules: Mapping[str, str]
    settings: Mapping[str, str]
    custom_files: Optional[Sequence[str]] = None

    @property
    def id(self) -> str:
        """A host has one policy."""
        return UFW

    def spec(self) -> UfwPolicySpec:
        """Return which files are custom."""
        return UfwPolicySpec(sorted(self.custom_files or ()))


@dataclass(frozen=True)
class UfwPolicyFacts(Facts):
    """ufw's policy as it is.

    Attributes:
        enabled: ufw starts at boot, and believes that it runs.
        logging: its log level.
        defaults: what happens to packets that no rule matches: direction to action.
        rules: what a rule matches to what it does, without the SSH server's.
        settings: those of `SETTINGS`, as they are.
        altered: files that are not as shipped: name to ``changed`` or ``absent``.
        order: ``ok``, or two rules in the wrong order.
        live: ``ok``, or what the kernel has other than ufw's files.
    """

    enabled: bool = False
    logging: str = ""
    defaults: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    altered: Mapping[str, str] = field(default_factory=dict)
    order: str = ""
    live: str = ""
