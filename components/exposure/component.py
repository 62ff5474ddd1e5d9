"""What a host exposes, declared out of what is on it; everything else that it exposes is a difference."""

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
    """The last chapter: what the host exposes is what was declared, and nothing else.

    Nothing is changed: what is undeclared is a line of difference in every preview, and a warning in every
    `up`, with the name of who exposes it.

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
        exposure: the resource that is read back.
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
        """Declare it.

        Args:
            name: the component's name, such as "web1-exposure".
            args: what the host may expose beside what is declared here.
            host: the host.
            ssh_port: sshd's port.
            web: nginx serves sites, on 80 and 443.
            firewall: what is open beside those.
            bind_address: docker0's address.
            ports: the ports there that containers have, by container.
            released: apps whose releases take a port of their own there.
            networks: the networks of Docker that are declared.
            opts: options of the component. It is read last: it depends on all that makes the above.
        """
        super().__init__("portcullis:index:HostExposure", name, None, opts)
        firewall = firewall or FirewallArgs()
        opened = ufw_rules.opened(firewall.allow)
        public = {port.replace(":", "-"): rule.from_ for port, rule in firewall.public.items()}

        def expected(declared: Mapping[str, str]) -> dict[str, str]:
            # What is accepted may be there or not; what is declared as well would be missing for ever.
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
