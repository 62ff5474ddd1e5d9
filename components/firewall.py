"""The firewall of a host: what packets from outside reach the host itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from components.arguments import validate
from portcullis.host import File, Packages, Service, UfwPolicy
from portcullis.host.agent.ufw_names import normal_name, normal_value
from portcullis.render import ufw_sysctl
from portcullis.settings import forms
from portcullis.settings.kinds import Choice, ListOf, Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WEB: Mapping[str, str] = {"80/tcp": "HTTP and certificates", "443/tcp": "HTTPS"}
"""What a host with sites opens beside SSH."""


def _rule(text: str) -> tuple[str, str] | None:
    try:
        normal_name(f"in {text}")
    except ValueError as error:
        return (f"is not what a rule matches ({error})", "write 443/tcp or 5432/tcp from 203.0.113.0/24")
    return None


def _why(text: str) -> tuple[str, str] | None:
    try:
        normal_value(f"allow # {text}")
    except ValueError as error:
        return (f"cannot be the comment of a rule ({error})", "write plain words")
    return None


@dataclass(frozen=True, slots=True)
class FirewallArgs:
    """What a host lets in.

    Attributes:
        host: alias of the host.
        os: its operating system.
        allow: what is open beside SSH → why: `{"443/tcp": "web", "5432/tcp from 203.0.113.0/24": "reports"}`.
        deny: what is refused before all that is open → why: `{"any from 198.51.100.0/24": "scanner"}`.
        logging: ufw's log level.
        after: what has to be there before anything is closed: the `SshServer`, which opens SSH's port.
        adopt: replace rules that are there and differ.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    os: str
    allow: Mapping[str, str] = field(default_factory=lambda: dict(WEB))
    deny: Mapping[str, str] = field(default_factory=dict)
    logging: str = "low"
    after: Sequence[pulumi.Resource] = ()
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        rule = ListOf(Text("what a rule matches", refusal=_rule))
        level = Choice("a level of ufw's log", ("off", "low", "medium", "high", "full"), {})
        validate(self, {"host": forms.ALIAS, "os": forms.OS, "allow": rule, "deny": rule, "logging": level})
        for name in ("allow", "deny"):
            for text in getattr(self, name).values():
                if fault := _why(text):
                    raise ValueError(f"FirewallArgs.{name}: {text!r} {fault[0]}; {fault[1]}")


class Firewall(pulumi.ComponentResource):
    """ufw: nothing comes in but SSH and what is declared, by IPv4 and IPv6; everything goes out.

    Attributes:
        policy: ufw's policy.
        ready: what has to wait until the host is closed.
    """

    policy: UfwPolicy
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: FirewallArgs, opts: ResourceOptions | None = None) -> None:
        """Declare the firewall under `name`, such as "web1-firewall"."""
        super().__init__("portcullis:index:Firewall", name, None, opts)
        packages = Packages(
            f"{name}-packages",
            host=args.host,
            names=["nftables", "ufw"],
            on_delete="purge",
            # Debian's ufw breaks iptables-persistent: with adopt it may take its place.
            adopt=args.adopt,
            opts=ResourceOptions(parent=self),
        )
        config = File(
            f"{name}-sysctl.conf",
            host=args.host,
            path=ufw_sysctl.PATH,
            content=ufw_sysctl.ufw_sysctl(f"{name}-sysctl.conf"),
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[packages]),
        )
        self.policy = UfwPolicy(
            f"{name}-policy",
            host=args.host,
            logging=args.logging,  # type: ignore[arg-type]
            rules=_rules(args),
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[packages, config, *args.after]),
        )
        # `ufw enable` starts the rules and not the unit, which is what brings them up at boot.
        service = Service(
            f"{name}-service",
            host=args.host,
            unit="ufw.service",
            reads=[config],
            on_change="restart",
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[self.policy]),
        )
        self.ready = [self.policy, service]
        self.register_outputs({"rules": self.policy.rules})


def _rules(args: FirewallArgs) -> dict[str, str]:
    allowed = {f"in {what}": f"allow # {why}" if why else "allow" for what, why in args.allow.items()}
    denied = {f"in {what}": f"deny # {why}" if why else "deny" for what, why in args.deny.items()}
    return allowed | denied
