"""The kernel settings of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.kernel import render
from portcullis.resources import Sysctl

if TYPE_CHECKING:
    from portcullis.components.kernel.args import KernelArgs
    from portcullis.host import Host


class KernelSettings(pulumi.ComponentResource):
    """Kernel settings against forged packets, attacks by symbolic links, and programs that spy on others.

    The settings break nothing that Docker needs.

    Example:
        ```python
        from portcullis.components import KernelArgs, KernelSettings
        from portcullis.host import Connection, Host, write_ssh_config

        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        write_ssh_config({"web1": Connection(address="203.0.113.10", host_key=key)})
        web1 = Host("web1", os="debian-13")

        KernelSettings("web1-kernel", KernelArgs(values={"vm.swappiness": "10"}), host=web1)
        ```
    """

    def __init__(
        self, name: str, args: KernelArgs, *, host: Host, opts: ResourceOptions | None = None
    ) -> None:
        """Declare the kernel settings of a host.

        Args:
            name: the component's name, such as "web1-kernel".
            args: the changes to our default settings.
            host: the host.
            opts: options of the component. If ufw already runs on the host, add the firewall to `depends_on`,
                because ufw sets other values until the firewall is declared.
        """
        super().__init__("portcullis:index:KernelSettings", name, None, opts)
        values = render.settings(args.values, tuple(args.only))
        own = f"{name}-sysctl"
        settings = Sysctl(
            own,
            host=host,
            path=render.PATH,
            values=values,
            content=render.sysctl_conf(own, values),
            optional=[key for key in values if key in render.OPTIONAL and key not in args.values],
            opts=ResourceOptions(parent=self),
        )
        self.register_outputs({"values": settings.values})
