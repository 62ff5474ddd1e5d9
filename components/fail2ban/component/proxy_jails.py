"""fail2ban's jails for a host's nginx."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi import ResourceOptions

from portcullis.components.fail2ban.render import fail2ban, proxy_jails
from portcullis.components.fail2ban.resource import Fail2banJail
from portcullis.components.nginx import render as nginx
from portcullis.config.arguments import validate
from portcullis.config.forms import Alias, Duration, Network, Os
from portcullis.config.kinds import ListOf
from portcullis.resources import File


@dataclass(frozen=True, slots=True)
class ProxyJailsArgs:
    """What the jails need to know.

    Attributes:
        host: alias of the host.
        os: its operating system.
        error_logs: paths of the sites' error logs; all of them have to be there, empty or not.
        auth: one of the sites asks for passwords.
        ignore: addresses and networks that are never banned, as `Fail2banArgs` has them.
        proxies: networks of proxies in front of this host. Never banned either: a request of theirs that
            does not say who the client is would have the proxy banned, and everybody behind it.
        unknown_host_log: access log of the servers for unknown host names, in the combined format.
        max_ban_time: how long a ban lasts at most, such as 8w; the first lasts an hour.
        adopt: take over jails, and replace a filter, that somebody set up.
        after: what has to be done before: fail2ban, and nginx with its logs.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    os: str
    error_logs: tuple[str, ...] = ()
    auth: bool = False
    ignore: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    unknown_host_log: str = nginx.UNKNOWN_HOST_LOG
    max_ban_time: str = "8w"
    adopt: bool = False
    after: tuple[pulumi.Resource, ...] = ()

    def __post_init__(self) -> None:
        """Check what fail2ban would not."""
        validate(
            self,
            {
                "host": Alias,
                "os": Os,
                "ignore": ListOf[Network],
                "proxies": ListOf[Network],
                "max_ban_time": Duration,
            },
        )
        if self.auth and not self.error_logs:
            raise ValueError(
                "ProxyJailsArgs.auth: a wrong password is in a site's error log; name error_logs"
            )


class ProxyJails(pulumi.ComponentResource):
    """Jails for who tries passwords, runs into limits on end, or asks for host names that are no site.

    They ban from ports 80 and 443 only, for an hour at first. Behind a proxy a ban has no effect: the packet
    filter sees the proxy's address, which is never banned.

    Attributes:
        ready: the jails.
    """

    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: ProxyJailsArgs, opts: ResourceOptions | None = None) -> None:
        """Declare the jails under `name`, such as "web1-proxy-jails"."""
        super().__init__("portcullis:index:ProxyJails", name, None, opts)
        never = fail2ban.ignored((*args.ignore, *args.proxies))
        logs, longest = sorted(args.error_logs), args.max_ban_time

        filter_ = File(
            f"{name}-filter",
            host=args.host,
            path=proxy_jails.FILTER_PATH,
            content=proxy_jails.unknown_host_filter(f"{name}-filter"),
            test=fail2ban.TEST,
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=args.after),
        )
        jails = {
            proxy_jails.UNKNOWN_HOST: proxy_jails.unknown_host(args.unknown_host_log, longest),
            **({proxy_jails.LIMIT_REQ: proxy_jails.limit_req(logs, longest)} if logs else {}),
            **({proxy_jails.HTTP_AUTH: proxy_jails.http_auth(logs, longest)} if args.auth else {}),
        }
        self.ready = [
            Fail2banJail(
                f"{name}-{jail}",
                host=args.host,
                jail=jail,
                options=options,
                ignoreip=never,
                adopt=args.adopt,
                opts=ResourceOptions(parent=self, depends_on=[filter_, *args.after]),
            )
            for jail, options in jails.items()
        ]
        self.register_outputs({"jails": sorted(jails)})
