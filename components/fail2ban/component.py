"""The components for fail2ban, which bans addresses with repeated failed logins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi import ResourceOptions

from portcullis.components.fail2ban import render
from portcullis.components.fail2ban.jail_options import ignored
from portcullis.components.fail2ban.resource import Fail2banJail
from portcullis.config.arguments import require
from portcullis.config.forms import Port
from portcullis.resources import File, Packages, Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.fail2ban.args import Fail2banArgs, ProxyJailsArgs
    from portcullis.host import Host


class Fail2ban(pulumi.ComponentResource):
    """fail2ban with a jail for the SSH server, and defaults for other jails.

    There is no jail `recidive`, which bans addresses that were banned several times. Such a jail is not
    needed, because each further ban of an address lasts twice as long.

    Example:
        ```python
        from portcullis.components import Fail2ban, Fail2banArgs
        from portcullis.host import Connection, Host, write_ssh_config

        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        write_ssh_config({"web1": Connection(address="203.0.113.10", host_key=key)})
        web1 = Host("web1", os="debian-13")

        Fail2ban("web1-fail2ban", Fail2banArgs(ignore=["198.51.100.7"], ban_time="2w"), host=web1)
        ```

    Attributes:
        ignoreip: addresses and networks that no jail bans. Pass these addresses to your other jails.
    """

    ignoreip: list[str]

    def __init__(
        self,
        name: str,
        args: Fail2banArgs,
        *,
        host: Host,
        ssh_port: int = 22,
        accepted: Mapping[str, str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare fail2ban with a jail for the SSH server.

        Args:
            name: the component's name, such as "web1-fail2ban".
            args: which addresses are banned, and for how long.
            host: the host.
            ssh_port: the port of the host's SSH server.
            accepted: undeclared files that may stay in fail2ban's folder, by path, each with the reason.
            opts: options of the component.

        Raises:
            ArgumentsError: `ssh_port` is not a port.
        """
        require(Port, ssh_port, "Fail2ban.ssh_port")
        super().__init__("portcullis:index:Fail2ban", name, None, opts)
        self.ignoreip = ignored(args.ignore)

        packages = Packages(
            f"{name}-packages",
            host=host,
            # fail2ban's package only recommends the last two packages. Without them, fail2ban reads no
            # journal and bans nobody.
            names=["fail2ban", "nftables", "python3-systemd"],
            on_delete="purge",
            opts=ResourceOptions(parent=self),
        )
        # This file comes before all others: with the packaged jail, Debian 12's configuration fails the test.
        defaults = File(
            f"{name}-defaults",
            host=host,
            path=render.DEFAULTS_PATH,
            content=render.defaults(f"{name}-defaults", args),
            test=render.TEST,
            opts=ResourceOptions(parent=self, depends_on=[packages]),
        )
        server = File(
            f"{name}-server",
            host=host,
            path=render.SERVER_PATH,
            content=render.server(f"{name}-server", args),
            test=render.TEST,
            opts=ResourceOptions(parent=self, depends_on=[defaults]),
        )
        service = Service(
            f"{name}-service",
            host=host,
            unit="fail2ban.service",
            reads=[packages, defaults, server],
            on_change="reload",
            opts=ResourceOptions(parent=self, depends_on=[packages, defaults, server]),
        )
        jail = Fail2banJail(
            f"{name}-sshd",
            host=host,
            jail="sshd",
            options=render.sshd(args, ssh_port),
            ignoreip=self.ignoreip,
            whole=True,
            accepted=accepted,
            opts=ResourceOptions(parent=self, depends_on=[service]),
        )
        self.register_outputs({"jail": jail.jail, "options": jail.options})


class ProxyJails(pulumi.ComponentResource):
    """Jails for clients that guess passwords, keep exceeding limits, or request unknown host names.

    The jails need fail2ban, and nginx with its logs, because fail2ban does not start if a jail's log file is
    missing. A ban closes only ports 80 and 443 to the address, for an hour at first. Behind a proxy a ban has
    no effect, because the packet filter sees the proxy's address, which is never banned.

    Example:
        ```python
        from pulumi import ResourceOptions

        from portcullis.components import Fail2ban, Fail2banArgs, ProxyJails, ProxyJailsArgs
        from portcullis.host import Connection, Host, write_ssh_config

        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        write_ssh_config({"web1": Connection(address="203.0.113.10", host_key=key)})
        web1 = Host("web1", os="debian-13")

        fail2ban = Fail2ban("web1-fail2ban", Fail2banArgs(), host=web1)
        ProxyJails(
            "web1-nginx-jails",
            ProxyJailsArgs(
                error_logs=["/var/log/nginx/error.log"],
                auth=True,
                unknown_host_log="/var/log/nginx/access.log",
            ),
            host=web1,
            opts=ResourceOptions(depends_on=[fail2ban]),
        )
        ```
    """

    def __init__(
        self, name: str, args: ProxyJailsArgs, *, host: Host, opts: ResourceOptions | None = None
    ) -> None:
        """Declare the jails for nginx.

        Args:
            name: the component's name, such as "web1-nginx-jails".
            args: the logs, the addresses that are never banned, and the longest ban.
            host: the host.
            opts: options of the component. In `depends_on`, list fail2ban and the resources that create the
                logs.
        """
        super().__init__("portcullis:index:ProxyJails", name, None, opts)
        never = ignored((*args.ignore, *args.proxies))
        filter_ = File(
            f"{name}-filter",
            host=host,
            path=render.FILTER_PATH,
            content=render.unknown_host_filter(f"{name}-filter"),
            test=render.TEST,
            opts=ResourceOptions(parent=self),
        )
        jails = render.proxy_jails(args)
        for jail, options in jails.items():
            Fail2banJail(
                f"{name}-{jail}",
                host=host,
                jail=jail,
                options=options,
                ignoreip=never,
                opts=ResourceOptions(parent=self, depends_on=[filter_]),
            )
        self.register_outputs({"jails": sorted(jails)})
