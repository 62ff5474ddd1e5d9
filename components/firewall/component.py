"""The firewall of a host: what packets reach the host itself, and what they reach of its containers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import pulumi
from pulumi import ResourceOptions

from portcullis.components.firewall.args import LogLevel
from portcullis.components.firewall.on_host.ufw_names import normal_name, normal_value
from portcullis.components.firewall.render import forward_filter, ufw_sysctl
from portcullis.components.firewall.render.forward_filter import ForwardPolicy
from portcullis.components.firewall.resource.forward_filter import ForwardFilter
from portcullis.components.firewall.resource.ufw_policy import UfwPolicy
from portcullis.config.arguments import validate
from portcullis.config.forms import Alias, Os
from portcullis.config.kinds import ListOf, Text
from portcullis.resources import File, Packages, Service

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


_Rule = Annotated[str, Text("what a rule matches", refused=_rule)]


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
        bind_address: docker0's address, which containers are published on for the host's own use.
        public: ports that containers publish to the world → from where, or everywhere where nobody is named:
            `{"8443/tcp": [], "5432/tcp": ["203.0.113.0/24"]}`. They are opened in ufw, too.
        egress: containers that may open connections to the listed destinations only, by the name of their
            bridge or by address: `{"shop0": ["203.0.113.7:443/tcp", "*:53/udp"]}`. See `ForwardPolicy`.
        outside: bridges that lead to the world, on a host of virtual machines.
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
    bind_address: str = "172.17.0.1"
    public: Mapping[str, Sequence[str]] = field(default_factory=dict)
    egress: Mapping[str, Sequence[str]] = field(default_factory=dict)
    outside: Sequence[str] = ()
    after: Sequence[pulumi.Resource] = ()
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        faults: list[str] = []
        try:
            validate(
                self,
                {"host": Alias, "os": Os, "allow": ListOf[_Rule], "deny": ListOf[_Rule], "logging": LogLevel},
            )
        except ValueError as error:
            faults.append(str(error))
        try:
            _ = self.forward_policy
        except ValueError as error:
            faults += [f"FirewallArgs.{line}" for line in str(error).splitlines()]
        for name in ("allow", "deny"):
            for text in getattr(self, name).values():
                if fault := _why(text):
                    faults.append(f"FirewallArgs.{name}: {text!r} {fault[0]}; {fault[1]}")
        if faults:
            raise ValueError("\n".join(faults))

    @property
    def forward_policy(self) -> ForwardPolicy:
        """What may be forwarded."""
        return ForwardPolicy(self.bind_address, self.public, self.egress, self.outside)


class Firewall(pulumi.ComponentResource):
    """Nothing comes in but SSH and what is declared, by IPv4 and IPv6; everything goes out.

    ufw guards what the host serves itself; Docker's packets pass it by, and the forward filter guards those.

    Attributes:
        policy: ufw's policy.
        forward: the forward filter.
        ready: what has to wait until the host is closed.
    """

    policy: UfwPolicy
    forward: ForwardFilter
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
        self.forward = ForwardFilter(
            f"{name}-forward",
            host=args.host,
            table=forward_filter.table(args.forward_policy),
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
        self.ready = [self.forward, self.policy, service]
        self.register_outputs({"rules": self.policy.rules})


def _rules(args: FirewallArgs) -> dict[str, str]:
    allowed = {f"in {what}": f"allow # {why}" if why else "allow" for what, why in args.allow.items()}
    denied = {f"in {what}": f"deny # {why}" if why else "deny" for what, why in args.deny.items()}
    return _published(args) | allowed | denied


def _published(args: FirewallArgs) -> dict[str, str]:
    """Open public ports in ufw: docker-proxy serves IPv6, and other containers, by sockets of the host."""
    ports = {port: port.replace("-", ":") for port in args.public}
    names = [
        f"in {ports[port]}{source}"
        for port, sources in args.public.items()
        for source in ([f" from {address}" for address in sources] or [""])
    ]
    return dict.fromkeys(names, "allow # published by a container")
