"""Declares what a host exposes to the network.

An exposed port or rule that is not declared shows as drift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.exposure import render as exposure
from portcullis.components.exposure.resource import Exposure
from portcullis.components.firewall.args import FirewallArgs
from portcullis.components.firewall.render import ufw_rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portcullis.components.exposure.args import ExposureArgs
    from portcullis.host import Host


class HostExposure(pulumi.ComponentResource):
    """Compares what the host exposes with what is declared. An undeclared port or rule is a difference.

    The component changes nothing on the host. Each undeclared listener, published port or firewall rule is
    one line in every preview and one warning in every `up`. The line names the owner.

    Example:
        ```python
        from portcullis.components import ExposureArgs, FirewallArgs, HostExposure, RuleArgs
        from portcullis.host import Connection, Host, write_ssh_config

        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        write_ssh_config({"web1": Connection(address="203.0.113.10", host_key=key)})
        HostExposure(
            "web1-exposure",
            ExposureArgs(accept={"udp4 0.0.0.0:5353": "mDNS, for a printer"}),
            host=Host("web1"),
            firewall=FirewallArgs(allow={"5432/tcp": RuleArgs(from_=["203.0.113.0/24"])}),
        )
        ```

    Attributes:
        exposure: the resource that reads the host.
    """

    exposure: Exposure

    def __init__(
        self,
        name: str,
        args: ExposureArgs,
        *,
        host: Host,
        ssh_port: int = 22,
        web: bool = False,
        firewall: FirewallArgs | None = None,
        bind_address: str = "172.17.0.1",
        ports: Mapping[str, int] | None = None,
        released: Sequence[str] = (),
        networks: Sequence[str] = (),
        opts: ResourceOptions | None = None,
    ) -> None:
        """Derive the expected exposure from the arguments and declare the resource that compares it.

        Args:
            name: the component's name, such as "web1-exposure".
            args: what the host may expose that the other arguments do not declare.
            host: the host.
            ssh_port: sshd's port.
            web: whether nginx serves sites on the ports 80 and 443.
            firewall: which other ports the firewall opens.
            bind_address: docker0's address.
            ports: the port that each container publishes on docker0's address, by the container's name.
            released: apps whose releases each publish a port of their own on docker0's address.
            networks: the declared Docker networks.
            opts: options of the component. Let it depend on everything that makes the above, so that it reads
                the host last.
        """
        super().__init__("portcullis:index:HostExposure", name, None, opts)
        firewall = firewall or FirewallArgs()
        opened = ufw_rules.opened(firewall.allow)
        public = {port.replace(":", "-"): rule.from_ for port, rule in firewall.public.items()}

        def expected(declared: Mapping[str, str]) -> dict[str, str]:
            # An accepted key may be absent. If it were declared as well, its absence would show as drift.
            return {key: owner for key, owner in declared.items() if key not in args.accept}

        self.exposure = Exposure(
            f"{name}-found",
            host=host,
            listeners=expected(exposure.listeners(ssh_port, web=web)),
            published=expected(exposure.published(bind_address, ports or {}, released)),
            passes=expected(exposure.passes(ssh_port, [*(ufw_rules.WEB if web else ()), *opened], public)),
            networks=[network for network in networks if f"network {network}" not in args.accept],
            accepted=args.accept,
            usual=exposure.usual(opened, tuple(public)),
            opts=ResourceOptions(parent=self),
        )
        self.register_outputs({"listeners": self.exposure.listeners, "published": self.exposure.published})
