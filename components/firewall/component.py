"""The firewall of a host: which packets reach the host itself, and which reach its containers."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.firewall.render import forward_filter, ufw_rules, ufw_sysctl
from portcullis.components.firewall.render.forward_filter import ForwardPolicy
from portcullis.components.firewall.resource.forward_filter import ForwardFilter
from portcullis.components.firewall.resource.ufw_policy import UfwPolicy
from portcullis.config.faults import ArgumentsError, Fault
from portcullis.resources import File, Packages, Service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portcullis.components.firewall.args import FirewallArgs, RuleArgs
    from portcullis.host import Host

_NOTHING: Mapping[str, Sequence[str]] = MappingProxyType({})


class Firewall(pulumi.ComponentResource):
    """A firewall that opens only SSH and declared ports, for IPv4 and IPv6. Outgoing traffic is allowed.

    ufw guards the host's own services. Docker's packets bypass ufw, so the forward filter guards containers.
    The component `SshAccess` opens the port of SSH. If no `SshAccess` is declared, put SSH's port under
    `allow`. The host refuses a policy that would lock out the deploying machine.

    Example:
        ```python
        from portcullis.components import Firewall, FirewallArgs, RuleArgs
        from portcullis.host import Connection, Host, write_ssh_config

        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        write_ssh_config({"web1": Connection(address="203.0.113.10", host_key=key)})
        web1 = Host("web1", os="debian-13")

        Firewall(
            "web1-firewall",
            FirewallArgs(
                allow={"22/tcp": RuleArgs(), "5432/tcp": RuleArgs(from_=["203.0.113.0/24"])},
                deny={"any from 198.51.100.0/24": "scanner"},
            ),
            host=web1,
            web=True,
        )
        ```

    Attributes:
        policy: ufw's policy.
        forward: the forward filter.
        service: the unit that loads ufw's rules at boot.
    """

    policy: UfwPolicy
    forward: ForwardFilter
    service: Service

    def __init__(
        self,
        name: str,
        args: FirewallArgs,
        *,
        host: Host,
        web: bool = False,
        ssh_port: int | None = None,
        bind_address: str = "172.17.0.1",
        egress: Mapping[str, Sequence[str]] = _NOTHING,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the firewall.

        Args:
            name: the component's name, such as "web1-firewall".
            args: the open and the refused ports.
            host: the host.
            web: open ports 80 and 443, on which nginx serves sites.
            ssh_port: the port that `SshAccess` opens. With it, the forward filter also closes the ports of
                docker-proxy, even while ufw is off. Without it, the filter leaves them to ufw, because it
                does not know which port SSH needs.
            bind_address: docker0's address. Containers publish ports on it that only the host may use.
            egress: the only destinations to which the named containers may open connections. A key is the
                name of their bridge, or an address: `{"shop0": ["203.0.113.7:443/tcp", "*:53/udp"]}`. See
                `ForwardPolicy`.
            opts: options of the component. In `depends_on`, name the resource that opens SSH's port, such as
                `SshAccess`.

        Raises:
            ArgumentsError: a port, an address or a destination is invalid. The error names every fault.
        """
        table = forward_filter.table(
            _forward_policy(args, bind_address, egress, _host(args, ssh_port, web=web))
        )
        super().__init__("portcullis:index:Firewall", name, None, opts)
        packages = Packages(
            f"{name}-packages",
            host=host,
            # Debian's ufw conflicts with iptables-persistent. With `adopt`, apt may remove the latter.
            names=["nftables", "ufw"],
            on_delete="purge",
            opts=ResourceOptions(parent=self),
        )
        config = File(
            f"{name}-sysctl.conf",
            host=host,
            path=ufw_sysctl.PATH,
            content=ufw_sysctl.ufw_sysctl(f"{name}-sysctl.conf"),
            opts=ResourceOptions(parent=self, depends_on=[packages]),
        )
        self.forward = ForwardFilter(
            f"{name}-forward",
            host=host,
            table=table,
            opts=ResourceOptions(parent=self, depends_on=[packages]),
        )
        self.policy = UfwPolicy(
            f"{name}-policy",
            host=host,
            logging=args.logging,
            rules=ufw_rules.rules(args, web=web),
            opts=ResourceOptions(parent=self, depends_on=[packages, config]),
        )
        # `ufw enable` loads the rules but does not start the unit, and the unit loads the rules at boot.
        self.service = Service(
            f"{name}-service",
            host=host,
            unit="ufw.service",
            reads=[config],
            on_change="restart",
            opts=ResourceOptions(parent=self, depends_on=[self.policy]),
        )
        self.register_outputs({"rules": self.policy.rules})


def _host(args: FirewallArgs, ssh_port: int | None, *, web: bool) -> dict[str, Sequence[str]] | None:
    """Return the open ports of the host itself; None if the port of SSH is unknown."""
    if ssh_port is None:
        return None
    everybody = dict.fromkeys([f"{ssh_port}/tcp", *(ufw_rules.WEB if web else ())], ())
    return _ports(args.allow) | everybody


def _ports(rules: Mapping[str, RuleArgs]) -> dict[str, Sequence[str]]:
    # ufw writes a range with a colon, nft with a dash.
    return {port.replace(":", "-"): rule.from_ for port, rule in rules.items()}


def _forward_policy(
    args: FirewallArgs,
    bind_address: str,
    egress: Mapping[str, Sequence[str]],
    host: Mapping[str, Sequence[str]] | None,
) -> ForwardPolicy:
    try:
        return ForwardPolicy(
            bind_address, _ports(args.public), egress, args.outside, host, args.metadata_for_users
        )
    except ValueError as error:
        lines = [line.partition(": ") for line in str(error).splitlines()]
        raise ArgumentsError([Fault(f"Firewall.{at}", reason) for at, _, reason in lines]) from None
